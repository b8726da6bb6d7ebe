"""The katas asked as HumanEval asks: a signature, a docstring and examples, to be completed.

Half of those in Python have types of `typing` with the import, so it is told on validation, which
HumanEval lacks, whether an answer keeps inside the subset where the prompt does not.
"""

from dataclasses import replace
from typing import Any

from potstill.models import formats, stubs
from potstill.tasks import katas
from potstill.tasks.problem import Problem, Text
from potstill.tasks.where import Where

LICENCE = katas.LICENCE
METHOD = katas.METHOD
SPLITS = katas.SPLITS
MADE_OF = ("katas",)


def problems(where: Where) -> list[Problem]:
    """Return the katas of the split that a signature can be written for."""
    rows = {row["id"]: row for row in katas.read(where)}
    found = [_problem(item, rows[item.id]) for item in katas.problems(where)]
    return [item for item in found if item is not None]


def texts(where: Where) -> list[Text]:  # noqa: ARG001 - every task is asked alike
    """Return none: `katas` gives them."""
    return []


def _problem(item: Problem, row: dict[str, Any]) -> Problem | None:
    made = stubs.stub({**row, "code": item.reference}, stubs.style(row)) if item.reference else None
    if made is None:
        return None
    return replace(
        item,
        task="stubs",
        messages=formats.completion_prompt(made, item.language),
        request=made,
        preamble=made[: made.index("def ")] if item.language == "python" else "",
    )
