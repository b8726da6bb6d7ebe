"""The agent's four prompts on held-out tasks: does an answer have the form that is asked for?

The first row of each family in each language is put in all four ways. What is to be mended has a
planted error and the words of the executor that really ran it.
"""

from collections.abc import Sequence
from typing import Any

from potstill import sandbox
from potstill.models import formats
from potstill.models.chat import Message
from potstill.tasks import katas
from potstill.tasks.problem import Problem, Text
from potstill.tasks.slips import last_words, with_a_slip
from potstill.tasks.where import UnavailableError, Where

LICENCE = "Apache-2.0"
METHOD = "form"
SPLITS = ("validation", "test")
MADE_OF = ("katas",)
Row = dict[str, Any]


def problems(where: Where) -> list[Problem]:
    """Return the rows with a plan, tests and a reference, in four formats.

    A request to divide joins a row with the next one of its language, every second with two.
    """
    whole = [row for row in katas.read(where) if row["plan"] and row["tests"] and row["reference"]]
    first = list({(row["family"], row["language"]): row for row in reversed(whole)}.values())[::-1]
    if not first:
        raise UnavailableError("no row has a plan, tests and a reference: run collect_prompts")
    return [*map(_plan, first), *map(_code, first), *_reflect(first), *_decompose(first)]


def texts(where: Where) -> list[Text]:  # noqa: ARG001 - every task is asked alike
    """Return none: they are those of katas."""
    return []


def _plan(row: Row) -> Problem:
    return _problem(row, "plan", formats.plan_prompt(row["task"]), formats.numbered(row["plan"]))


def _code(row: Row) -> Problem:
    prompt = formats.code_prompt(row["task"], row["language"])
    return _problem(row, "code", prompt, row["reference"])


def _reflect(rows: Sequence[Row]) -> list[Problem]:
    """Ask for mended code wherever the executor has something to say of the error."""
    codes = [with_a_slip(row["reference"], row["entry_point"]) for row in rows]
    broken = [(row, code) for row, code in zip(rows, codes, strict=True) if code is not None]
    runs = sandbox.run_many(
        [
            sandbox.Case(row["language"], code, row["tests"], row["entry_point"])
            for row, code in broken
        ]
    )
    found = []
    for (row, code), run in zip(broken, runs, strict=True):
        error = last_words(run.stderr)
        if error and not run.ok:
            prompt = formats.reflect_prompt(row["task"], code, error, row["language"])
            found.append(_problem(row, "reflect", prompt, row["reference"]))
    return found


def _decompose(rows: Sequence[Row]) -> list[Problem]:
    found = []
    for language in sorted({row["language"] for row in rows}):
        own = [row for row in rows if row["language"] == language]
        for number, row in enumerate(own):
            count = min(len(own), 2 + number % 2)
            tasks = [own[(number + step) % len(own)]["task"] for step in range(count)]
            prompt = formats.decompose_prompt(" Then: ".join(tasks))
            found.append(_problem(row, "decompose", prompt, formats.subtasks(tasks, language)))
    return found


def _problem(row: Row, name: str, messages: list[Message], reference: str) -> Problem:
    return Problem(
        id=f"{row['id']}/{name}",
        task="formats",
        language=row["language"],
        messages=messages,
        request=row["task"],
        format=name,
        entry_point=row["entry_point"],
        tests=row["tests"],
        family=row["family"],
        level=row["level"],
        reference=reference,
    )
