"""EdgeCoder-Eval: what an agent can be asked whose executor refuses code outside a subset.

The problems of three benchmarks whose reference solution is inside the policy's subset, so that
each can be solved there; an answer counts only if it is inside and passes. Which problems these are
follows from the policy and the files: scores of equal `list_sha256` are of one list.
"""

from collections.abc import Sequence
from dataclasses import replace

from potstill import subset
from potstill.tasks.problem import Problem, Text
from potstill.tasks.where import Where

LICENCE = "those of its parts"
METHOD = "code"
SPLITS = ("test",)
MADE_OF = ("humaneval", "mbpp", "humaneval_js")


def problems(where: Where) -> list[Problem]:
    """Return the problems that can be solved inside `where.policy`; all parts must be here."""
    from potstill.tasks import TASKS

    found = [item for part in MADE_OF for item in TASKS[part].problems(where) if item.reference]
    return [
        replace(item, task="edgecoder", inside_only=True)
        for item, inside in zip(found, _inside(found, where.policy), strict=True)
        if inside
    ]


def texts(where: Where) -> list[Text]:  # noqa: ARG001 - every task is asked alike
    """Return none: its parts give theirs."""
    return []


def _inside(found: Sequence[Problem], policy: str) -> list[bool]:
    verdicts: dict[str, bool] = {}
    for language in {item.language for item in found}:
        codes = [item.reference for item in found if item.language == language]
        checked = subset.check_many(language, codes, policy)
        verdicts |= dict(zip(codes, (verdict.supported for verdict in checked), strict=True))
    return [verdicts[item.reference] for item in found]
