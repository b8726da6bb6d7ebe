"""What artefacts are scored on: one module a task behind one registry.

A task knows its problems, how they are put to a model, what a right answer is, and by which method
of `potstill.evaluate.methods` answers are taken and counted. It needs no runtime and no model. Its
name stands in its module, here and in params.yaml, nowhere else.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from potstill.errors import InputError
from potstill.params import closest
from potstill.registry import Registry
from potstill.tasks.problem import Problem, Text
from potstill.tasks.where import UnavailableError, Where

__all__ = ["TASKS", "Problem", "Task", "Text", "UnavailableError", "Where"]


class Task(Protocol):
    """A module of the registry: one for each task."""

    LICENCE: str
    METHOD: str  # of `potstill.evaluate.methods`
    SPLITS: tuple[str, ...]  # those of `potstill.splits` that it has
    MADE_OF: tuple[
        str, ...
    ]  # tasks whose problems it puts in a way of its own: their texts are its

    def problems(self, where: Where) -> list[Problem]:
        """Return all problems of `where.split`, in an order of their own.

        Raises:
            UnavailableError: its data is not here; the task is then reported as not run.
            InputError: its data is here and not what it should be.
        """
        ...

    def texts(self, where: Where) -> Sequence[Text]:
        """Return what no training row may repeat, of all splits; none of what it is made of.

        Raises:
            UnavailableError, InputError: as `problems`.
        """
        ...


TASKS: Registry[Task] = Registry(
    "task",
    {
        "katas": "potstill.tasks.katas",
        "stubs": "potstill.tasks.stubs",
        "humaneval": "potstill.tasks.humaneval",
        "humaneval_bare": "potstill.tasks.humaneval_bare",
        "mbpp": "potstill.tasks.mbpp",
        "humaneval_js": "potstill.tasks.humaneval_js",
        "edgecoder": "potstill.tasks.edgecoder",
        "formats": "potstill.tasks.formats",
        "plans": "potstill.tasks.plans",
        "likelihood": "potstill.tasks.likelihood",
        "agent": "potstill.tasks.agent",
        "divergence": "potstill.tasks.divergence",
    },
)


def check_names(names: Iterable[str]) -> None:
    """Raise InputError for the first name that is no task's."""
    for name in names:
        if name not in TASKS:
            raise InputError(f"unknown task {name!r}; {closest(name, TASKS)}")
