"""From an answer to the steps of a plan or to smaller tasks: strictly, and by a patient reader.

Strictly is how EdgeCoder's agent reads: all of a plan, and all of a list of tasks that a fence may
stand around. A patient reader passes over words around either, as a person would.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from potstill.models.formats import LANGUAGE_NAMES

MOST_TASKS = 10  # the agent drops what a list has beyond
_STEP = re.compile(r"[ \t]*([0-9]{1,3})[.)][ \t]+(.*\w.*)")
_FENCED = re.compile(r"\s*```[ \t]*(?:json)?[ \t]*\r?\n(.*?)(?:\n[ \t]*)?```\s*", re.S | re.I)
_MOST_TRIES = 16


def steps(answer: str, *, patient: bool = False) -> list[str]:
    """Return the steps of a plan, numbered from 1 without a gap, one a line; none where it is none.

    Args:
        answer: what the model wrote.
        patient: lines without a number are passed over, else they make it no plan.
    """
    found: list[str] = []
    for line in answer.splitlines():
        match = _STEP.fullmatch(line)
        if match is None:
            if line.strip() and not patient:
                return []
        elif int(match[1]) != len(found) + 1:
            return []
        else:
            found.append(match[2].strip())
    return found


def without_numbers(answer: str) -> str:
    """Return an answer as one line, without the numbers that its steps begin with."""
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    matches = [_STEP.fullmatch(line) for line in lines]
    return " ".join(m[2] if m else line for m, line in zip(matches, lines, strict=True))


def tasks(answer: str, *, patient: bool = False) -> list[dict[str, str]]:
    """Return the tasks of a JSON list of {"input", "language"}; none where it is no such list.

    Args:
        answer: what the model wrote.
        patient: words before and behind the list are passed over.
    """
    fenced = _FENCED.fullmatch(answer)
    for value in _decoded(answer) if patient else _whole(fenced[1] if fenced else answer):
        if _are_tasks(value):
            return [{key: item[key] for key in ("input", "language")} for item in value]
    return []


def _whole(text: str) -> Iterator[Any]:
    try:
        yield json.loads(text)
    except (ValueError, RecursionError):
        return


def _decoded(text: str) -> Iterator[Any]:
    """Yield what stands at the first brackets of a text and is JSON."""
    place = -1
    for _ in range(_MOST_TRIES):
        place = text.find("[", place + 1)
        if place < 0:
            return
        try:
            yield json.JSONDecoder().raw_decode(text, place)[0]
        except (ValueError, RecursionError):
            continue


def _are_tasks(value: object) -> bool:
    return (
        isinstance(value, list)
        and 0 < len(value) <= MOST_TASKS
        and all(
            isinstance(item, dict)
            and isinstance(item.get("input"), str)
            and item["input"].strip() != ""
            and item.get("language") in list(LANGUAGE_NAMES)
            for item in value
        )
    )
