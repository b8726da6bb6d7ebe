"""How likely an artefact finds the reference answers to held-out tasks: code and plans."""

from dataclasses import replace

from potstill.tasks import katas, plans
from potstill.tasks.problem import Problem, Text
from potstill.tasks.where import Where

LICENCE = "Apache-2.0"
METHOD = "likelihood"
SPLITS = ("validation", "test")
MADE_OF = ("katas",)


def problems(where: Where) -> list[Problem]:
    """Return all references of the split, each behind the prompt that asks for it."""
    found = [*katas.problems(where), *plans.problems(where)]
    return [
        replace(item, id=f"{item.id}/{item.format}", task="likelihood")
        for item in found
        if item.reference
    ]


def texts(where: Where) -> list[Text]:  # noqa: ARG001 - every task is asked alike
    """Return none: they are those of katas."""
    return []
