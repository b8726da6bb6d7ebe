"""Two scored models, problem by problem: who solved what the other did not, and is it more."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from potstill import statistics
from potstill.errors import InputError
from potstill.statistics import Interval

Row = dict[str, Any]


@dataclass(frozen=True)
class Paired:
    """One task of two models over the problems that both tried.

    Attributes:
        only_first, only_second: ids of the problems that one of them alone solved, sorted.
        difference: first minus second, of the share solved; None where all problems are of one
            family: an interval would say more than is known.
        p: exact McNemar, two-sided.
        left_out: problems that only one of the two tried.
        cut: how many answers of each the cap cut off; such an answer says nothing of the model.
    """

    task: str
    n: int
    both: int
    only_first: list[str]
    only_second: list[str]
    difference: Interval | None
    p: float
    left_out: int
    cut: tuple[int, int]

    @property
    def first(self) -> int:
        """How many the first solved."""
        return self.both + len(self.only_first)

    @property
    def second(self) -> int:
        """How many the second solved."""
        return self.both + len(self.only_second)


def compare(first: Sequence[Row], second: Sequence[Row]) -> list[Paired]:
    """Pair the rows of two scorings by task, problem and sample; return one result a task.

    Args:
        first: rows with id, task, family, passed and maybe sample.
        second: those of the other model.

    Raises:
        InputError: no problem in common, a problem that stands twice in one of them, or one whose
            family differs: it is not the same problem then.
    """
    mine, other = by_problem(first, "the first"), by_problem(second, "the second")
    tasks = sorted({task for task, _, _ in mine} & {task for task, _, _ in other})
    found = []
    for task in tasks:
        keys = [{key for key in rows if key[0] == task} for rows in (mine, other)]
        common = sorted(keys[0] & keys[1])
        if common:
            found.append(_paired(task, common, mine, other, len(keys[0] ^ keys[1])))
    if not found:
        raise InputError(
            f"no problem in common: the first tried {_tried(mine)}, the second {_tried(other)}; "
            "score both with the same tasks"
        )
    return found


Key = tuple[str, str, int]  # task, problem, sample


def by_problem(rows: Sequence[Row], which: str) -> dict[Key, Row]:
    """Return the rows by what they are of.

    Raises:
        InputError: two are of the same; `which` names the scoring.
    """
    found: dict[Key, Row] = {}
    for row in rows:
        key = (str(row["task"]), str(row["id"]), int(row.get("sample", 0)))
        if key in found:
            raise InputError(f"{which} has the problem {row['id']} twice: score it again")
        found[key] = row
    return found


def check_families(
    task: str, common: Sequence[Key], mine: dict[Key, Row], other: dict[Key, Row]
) -> None:
    """Raise InputError for a problem that is not the same one on both sides."""
    moved = [key[1] for key in common if mine[key]["family"] != other[key]["family"]]
    if moved:
        raise InputError(
            f"{task}: the problem {moved[0]} is of two families: the two were scored by different "
            "versions of the task"
        )


def _tried(rows: dict[Key, Row]) -> str:
    counts = {task: sum(key[0] == task for key in rows) for task in sorted({k[0] for k in rows})}
    return ", ".join(f"{n} of {task}" for task, n in counts.items()) or "nothing"


def _paired(
    task: str, common: list[Key], mine: dict[Key, Row], other: dict[Key, Row], left_out: int
) -> Paired:
    check_families(task, common, mine, other)
    families = [str(mine[key]["family"]) for key in common]
    outcomes = [(bool(mine[key]["passed"]), bool(other[key]["passed"])) for key in common]
    only = {
        side: [key[1] for key, outcome in zip(common, outcomes, strict=True) if outcome == side]
        for side in ((True, False), (False, True))
    }
    difference = None
    if len(set(families)) > 1:
        difference = statistics.paired_difference(
            [a for a, _ in outcomes], [b for _, b in outcomes], families
        )
    return Paired(
        task=task,
        n=len(common),
        both=outcomes.count((True, True)),
        only_first=only[True, False],
        only_second=only[False, True],
        difference=difference,
        p=statistics.mcnemar(len(only[True, False]), len(only[False, True])),
        left_out=left_out,
        cut=(_cut(mine, common), _cut(other, common)),
    )


def _cut(rows: dict[Key, Row], keys: list[Key]) -> int:
    return sum(bool(rows[key].get("hit_limit")) for key in keys)
