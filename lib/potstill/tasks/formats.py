"""The agent's four prompts on held-out tasks: does an answer have the form that is asked for?

The first row of each family in each language is put in all four ways. What is to be mended has a
planted fault and the words of the executor that really ran it.
"""

from collections.abc import Sequence
from typing import Any

from potstill import sandbox
from potstill.models import division, formats
from potstill.models.chat import Message
from potstill.tasks import failures, katas
from potstill.tasks.mutants import mutants
from potstill.tasks.problem import Problem, Text
from potstill.tasks.where import UnavailableError, Where

LICENCE = "Apache-2.0"
METHOD = "form"
SPLITS = ("validation", "test")
MADE_OF = ("katas",)
Row = dict[str, Any]
_FAULTS = 3  # tried of each reference: some change nothing that a test can see
_LIMITS = sandbox.Limits(cpu_s=1.0)  # faults make endless loops, which all take their limit


def problems(where: Where) -> list[Problem]:
    """Return the rows with a plan, tests and a reference, in four formats.

    A request to divide joins a row with the next one of its language, every second with two; rows
    whose plan leaves something out are in none.
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
    """Ask for mended code: of each row the first fault that the executor has something to say of.

    A fault that makes the program endless is none: an agent hands it over at once.
    """
    broken = [
        (row, code)
        for row in rows
        for code in mutants(row["reference"], _FAULTS, row["id"], row["language"])
    ]
    runs = sandbox.run_many(
        [
            sandbox.Case(row["language"], code, row["tests"], row["entry_point"], limits=_LIMITS)
            for row, code in broken
        ]
    )
    found: dict[str, Problem] = {}
    for (row, code), run in zip(broken, runs, strict=True):
        error = failures.said(run)
        if error and not run.ok and run.exit_code != 124 and row["id"] not in found:
            prompt = formats.reflect_prompt(row["task"], code, error, row["language"])
            found[row["id"]] = _problem(row, "reflect", prompt, row["reference"])
    return list(found.values())


def _decompose(rows: Sequence[Row]) -> list[Problem]:
    found = []
    for language in sorted({row["language"] for row in rows}):
        own = [row for row in rows if row["language"] == language and division.part(row)]
        for number, row in enumerate(own):
            count = min(len(own), 2 + number % 2)
            asked = [own[(number + step) % len(own)] for step in range(count)]
            prompt = formats.decompose_prompt(division.request(asked))
            found.append(_problem(row, "decompose", prompt, division.answer(asked)))
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
