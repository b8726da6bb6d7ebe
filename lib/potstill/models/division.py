"""A request that asks for several functions, and the smaller tasks that it is divided into.

A task says what is wanted; its part of the list says how to come to it: the function as the
reference declares it, and the steps of its plan. So the list is no copy of the request. It covers
it, as far as can be seen: a task whose numbers or quoted texts its steps leave out is not divided.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from potstill.models import formats

MOST_COPIED = 6  # words in a row that a part may share with the task, its signature apart
JOINT = " Then: "  # between the tasks of a request
_FACT = re.compile(r"(?<![\w.])\d+(?:\.\d+)?|\"[^\"]*\"|'[^'\s]+'")  # numbers and quoted texts
_WORD = re.compile(r"[\w.]*\w")


def part(row: Mapping[str, Any]) -> str | None:
    """Return what is to be done for one task, None where its plan leaves something out.

    Args:
        row: a task with task, entry_point, reference and plan.
    """
    name, code = row["entry_point"], row["reference"]
    if not (name and code and row["plan"]):
        return None
    declared = re.search(rf"\b{re.escape(name)}\s*\(([^()]*)\)", code)
    if declared is None:
        return None
    signature = f"{name}({' '.join(declared.group(1).split())})"
    steps = " ".join(f"{step.rstrip('.')}." for step in row["plan"])
    if not covers(row["task"], f"{signature}: {steps}") or copies(row["task"], steps):
        return None
    return f"Write {signature}. {steps}"


def covers(task: str, text: str) -> bool:
    """Say whether a text has every number and every quoted text of a task."""
    return set(_FACT.findall(task)) <= set(_FACT.findall(text))


def copies(task: str, text: str) -> bool:
    """Say whether a text repeats MOST_COPIED words of a task in a row."""
    return bool(_runs(task) & _runs(text))


def _runs(text: str) -> set[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    return {tuple(words[at : at + MOST_COPIED]) for at in range(len(words) - MOST_COPIED + 1)}


def request(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return one request for all tasks."""
    return JOINT.join(row["task"] for row in rows)


def answer(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the list that such a request is divided into; each task has a part."""
    parts = [part(row) for row in rows]
    assert all(parts), "a task without a part is not asked for"
    return formats.subtasks([text for text in parts if text], rows[0]["language"])
