"""Held-out tasks for an agent: it plans, writes code, runs it and mends what fails."""

from dataclasses import replace

from potstill.tasks import katas
from potstill.tasks.problem import Problem, Text
from potstill.tasks.where import Where

LICENCE = "Apache-2.0"
METHOD = "loop"
SPLITS = ("validation", "test")
MADE_OF = ("katas",)


def problems(where: Where) -> list[Problem]:
    """Return the rows of the split that have tests."""
    return [replace(item, task="agent") for item in katas.problems(where)]


def texts(where: Where) -> list[Text]:  # noqa: ARG001 - every task is asked alike
    """Return none: they are those of katas."""
    return []
