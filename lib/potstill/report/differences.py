"""Two models on the same problems: differences of pass rates, ratios of perplexities."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from potstill import statistics
from potstill.report.results import Estimate, Likelihood, Variant


@dataclass(frozen=True)
class Difference:
    """A paired difference or ratio, or the reason why there is none."""

    estimate: Estimate | None
    reason: str = ""


def between(first: Variant | None, second: Variant | None, benchmark: str = "katas") -> Difference:
    """Return first minus second over the problems that both tried, paired by id.

    The interval is a cluster bootstrap by family: problems of one family are alike.
    """
    if first is None or second is None:
        return Difference(None, "no such artefact")
    tried = {
        variant.name: {row["id"]: row for row in variant.rows if row["task"] == benchmark}
        for variant in (first, second)
    }
    for name, rows in tried.items():
        if not rows:
            return Difference(None, f"{name} tried no {benchmark}")
    mine, other = tried[first.name], tried[second.name]
    common = sorted(mine.keys() & other.keys())
    if not common:
        return Difference(None, f"{first.name} and {second.name} tried different {benchmark}")
    families = [str(mine[key]["family"]) for key in common]
    if len(set(families)) < 2:  # the interval would have no width, and say more than is known
        return Difference(None, f"all {benchmark} that both tried are of one family")
    measured = statistics.paired_difference(
        [bool(mine[key]["passed"]) for key in common],
        [bool(other[key]["passed"]) for key in common],
        families,
    )
    return Difference(Estimate(*measured))


def perplexity_ratio(first: Sequence[Likelihood], second: Sequence[Likelihood]) -> Difference:
    """Return first over second on the same test rows, paired by id; below 1 is better.

    The interval is a cluster bootstrap by group of the mean difference in nats a token, which
    becomes the ratio by exp.
    """
    mine, other = ({row.id: row for row in rows} for rows in (first, second))
    if not mine or mine.keys() != other.keys():
        return Difference(None, "measured on different test rows")
    groups = [row.group for row in mine.values()]
    if len(set(groups)) < 2:  # the interval would have no width, and say more than is known
        return Difference(None, "all test rows are of one group")
    nats = statistics.cluster_ratio(
        [row.nll_nats - other[key].nll_nats for key, row in mine.items()],
        [row.tokens for row in mine.values()],
        groups,
    )
    value, low, high = (math.exp(end) for end in (nats.value, nats.low, nats.high))
    return Difference(Estimate(value, low, high, nats.n))
