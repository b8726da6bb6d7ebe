"""HumanEval asked as it was published: the signature and docstring alone, without a word of ours.

The same problems and verdicts as `humaneval`, which asks in the agent's way: what the two differ by
is what a model owes to the words around a problem.
"""

from dataclasses import replace

from potstill.tasks import asking, humaneval
from potstill.tasks.problem import Problem, Text
from potstill.tasks.where import Where

LICENCE = humaneval.LICENCE
METHOD = humaneval.METHOD
SPLITS = humaneval.SPLITS
MADE_OF = ("humaneval",)


def problems(where: Where) -> list[Problem]:
    """Return all problems, each as the user's one message."""
    found = asking.put(humaneval.problems(where), asking.NAMED["bare"])
    return [replace(item, task="humaneval_bare") for item in found]


def texts(where: Where) -> list[Text]:  # noqa: ARG001 - every task is asked alike
    """Return none: `humaneval` gives them."""
    return []
