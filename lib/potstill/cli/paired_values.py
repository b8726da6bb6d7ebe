"""Two scored models in measures that no row passes or fails: perplexity, bits a byte, KL.

Each is a sum over the rows, of nats or of equal ids, over a sum of tokens or bytes that the
references have. So both models are taken over the rows that both could read, and differ row by row.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from potstill import statistics
from potstill.cli.paired import Key, Row, by_problem, check_families
from potstill.evaluate.methods import METHODS, Quotient
from potstill.statistics import Tested
from potstill.tasks import TASKS


@dataclass(frozen=True)
class PairedValue:
    """One measure of a task over the rows that both could read.

    Attributes:
        first, second: the measure of each, over these rows.
        difference: first minus second, or first over second if `is_ratio`, with its 95 % interval,
            families resampled, and the p of no difference; None where `reason` says why.
        left_out: rows that only one of the two has, or that one of them could not read.
    """

    task: str
    measure: str
    n: int
    first: float
    second: float
    is_ratio: bool
    difference: Tested | None
    reason: str
    left_out: int


def compare(first: Sequence[Row], second: Sequence[Row]) -> list[PairedValue]:
    """Pair the rows of two scorings by task and problem; return the results by task and measure.

    Raises:
        InputError: a row stands twice in one of them, or is of two families.
    """
    mine, other = by_problem(first, "the first"), by_problem(second, "the second")
    found = []
    for task in sorted({key[0] for key in mine} & {key[0] for key in other} & set(TASKS)):
        keys = [{key for key in rows if key[0] == task} for rows in (mine, other)]
        for measure, quotient in METHODS[TASKS[task].METHOD].QUOTIENTS.items():
            common = [
                key
                for key in sorted(keys[0] & keys[1])
                if all(rows[key].get(quotient.above) is not None for rows in (mine, other))
            ]
            if common:
                check_families(task, common, mine, other)
                left_out = len(keys[0] | keys[1]) - len(common)
                sides = ([mine[key] for key in common], [other[key] for key in common])
                found.append(_measure(task, measure, quotient, sides, left_out))
    return found


def meet(first: Sequence[Row], second: Sequence[Row]) -> bool:
    """Say whether two scorings have a problem in common."""
    keys: list[set[Key]] = [set(by_problem(rows, "one of them")) for rows in (first, second)]
    return bool(keys[0] & keys[1])


def _measure(
    task: str, measure: str, quotient: Quotient, sides: tuple[list[Row], list[Row]], left_out: int
) -> PairedValue:
    def back(value: float) -> float:
        return math.exp(value) if quotient.exponential else value * quotient.scale

    first, second = sides
    weights = [float(row[quotient.below]) for row in first]
    values = [[float(row[quotient.above]) for row in rows] for rows in (first, second)]
    families = [str(row["family"]) for row in first]
    reason, difference = "", None
    for key in (quotient.below, *quotient.same):
        if any(a[key] != b[key] for a, b in zip(first, second, strict=True)):
            reason = f"the rows have other {key}: not of one measure"
    if not reason and len(set(families)) < 2:  # an interval would say more than is known
        reason = "all rows are of one family"
    if not reason:
        tested = statistics.paired_runs([values[0]], [values[1]], families, weights)
        value, low, high = map(back, tested[:3])
        difference = Tested(value, low, high, tested.n, tested.p)
    below = [sum(float(row[quotient.below]) for row in rows) for rows in (first, second)]
    return PairedValue(
        task=task,
        measure=measure,
        n=len(first),
        first=back(sum(values[0]) / below[0]),
        second=back(sum(values[1]) / below[1]),
        is_ratio=quotient.exponential,
        difference=difference,
        reason=reason,
        left_out=left_out,
    )
