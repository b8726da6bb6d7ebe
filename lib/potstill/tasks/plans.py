"""Plans for held-out tasks, compared with the reference plans of their families."""

from potstill.models import formats
from potstill.tasks import katas
from potstill.tasks.problem import Problem, Text
from potstill.tasks.where import Where

LICENCE = "Apache-2.0"
METHOD = "likeness"
SPLITS = ("validation", "test")
MADE_OF = ("katas",)


def problems(where: Where) -> list[Problem]:
    """Return one problem for each wording that has a plan; a plan's prompt names no language."""
    rows = {row["task"]: row for row in reversed(katas.read(where)) if row["plan"]}
    return [
        Problem(
            id=row["id"],
            task="plans",
            language=row["language"],
            messages=formats.plan_prompt(row["task"]),
            request=row["task"],
            format="plan",
            entry_point=row["entry_point"] or "",
            tests=row["tests"],
            family=row["family"],
            level=row["level"],
            reference=formats.numbered(row["plan"]),
        )
        for row in reversed(rows.values())
    ]


def texts(where: Where) -> list[Text]:  # noqa: ARG001 - every task is asked alike
    """Return none: they are those of katas."""
    return []
