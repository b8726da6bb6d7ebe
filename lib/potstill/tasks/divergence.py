"""How far an artefact's distributions are from its teacher's, on answers that neither learnt from.

The teacher was asked once, by `record_reference`, at each token of some test rows.
"""

from potstill.tasks.problem import Problem, Text
from potstill.tasks.where import UnavailableError, Where
from potstill.tokens import recorded

LICENCE = "those of the rows"
METHOD = "divergence"
SPLITS = ("test",)
MADE_OF = ("katas",)


def problems(where: Where) -> list[Problem]:
    """Return the rows whose answers the teacher has read."""
    if where.teacher is None:
        raise UnavailableError("no teacher's distributions are given: the pipeline records them")
    if not where.teacher.is_file():
        raise UnavailableError(f"{where.teacher} is missing: run record_reference")
    return [
        Problem(
            id=row["id"],
            task="divergence",
            language=row.get("language", ""),
            messages=row["messages"][:-1],
            format=row.get("format", ""),
            entry_point="",
            tests=[],
            family=row["group"],
            reference=str(row["messages"][-1]["content"]),
        )
        for row in (answer.row for answer in recorded.read(where.teacher).answers)
    ]


def texts(where: Where) -> list[Text]:  # noqa: ARG001 - every task is asked alike
    """Return none: they are those of katas."""
    return []
