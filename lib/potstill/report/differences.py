"""Two models on the same problems: differences of rates, ratios of perplexities."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from potstill import statistics
from potstill.report.results import PAIRED, Estimate, Likelihood, Score, Variant

Row = dict[str, Any]


@dataclass(frozen=True)
class Difference:
    """A paired difference or ratio with its p-value, or the reason why there is none."""

    estimate: Estimate | None
    reason: str = ""
    p: float = 1.0


def between(
    first: Sequence[Variant],
    second: Sequence[Variant],
    task: str,
    measure: str,
    *,
    by_seed: bool = False,
) -> Difference:
    """Return first minus second over the problems that all tried, paired by id.

    Args:
        first: artefacts of one recipe, one for each of its training seeds.
        second: those of another recipe.
        task: one of the scores'.
        measure: a key of PAIRED.
        by_seed: the n-th of each have the same seed.
    """
    if not first or not second:
        return Difference(None, "no such artefact")
    for item in (*first, *second):
        if item.rate(task, measure) is None:
            reason = item.why_not(task) or f"{measure} was not measured"
            return Difference(None, f"{item.name}, {task}: {reason}")
    values, families = _common([*first, *second], task, measure)
    if not families:
        return Difference(None, f"{first[0].name} and {second[0].name} tried different {task}")
    if len(set(families)) < 2:  # the interval would have no width, and say more than is known
        return Difference(None, f"{task}: all problems that both tried are of one family")
    if not any(map(any, values)):
        return Difference(None, f"{task}: {measure} is 0 on both sides: nothing to compare")
    sides = values[: len(first)], values[len(first) :]
    tested = statistics.paired_runs(*sides, families, by_seed=by_seed)
    return Difference(_never_without_width(tested), p=tested.p)


def pooled_rate(variants: Sequence[Variant], task: str, measure: str) -> Estimate | None:
    """Return a rate over training seeds; None where one of them was not scored."""
    if any(item.why_not(task) for item in variants):
        return None
    values, families = _common(variants, task, measure)
    if not families:
        return None
    found = statistics.paired_runs(values, [[0.0] * len(families)], families)
    # few seeds widen the interval to both sides alike, beyond what a rate can be
    return Estimate(found.value, max(0.0, found.low), min(1.0, found.high), found.n)


def _common(
    variants: Sequence[Variant], task: str, measure: str
) -> tuple[list[list[float]], list[str]]:
    """Return values of each artefact on the problems that all tried, and the problems' families."""
    scores = [item.scores[task] for item in variants]
    found = [_by_problem(score, measure) for score in scores]
    common = sorted(set.intersection(*(set(one) for one in found)))
    family = {row["id"]: str(row["family"]) for row in scores[0].rows}
    return [[one[key] for key in common] for one in found], [family[key] for key in common]


def _by_problem(score: Score, measure: str) -> dict[str, float]:
    """Return id -> the share of a problem's samples that have what the measure asks for."""
    flags: dict[str, list[bool]] = {}
    for row in score.rows:
        flags.setdefault(row["id"], []).append(all(row[key] for key in PAIRED[measure]))
    return {key: sum(found) / len(found) for key, found in flags.items()}


def _never_without_width(tested: statistics.Tested) -> Estimate:
    """Widen an interval that has no width, since no two answers differ, by Wilson's bound.

    That none of a few problems differs does not show that none does. It is over problems: whether
    they differ by family cannot be seen where nothing differs.
    """
    low, high = tested.low, tested.high
    if low == high:
        unseen = statistics.wilson(0, tested.n).high
        low, high = max(-1.0, low - unseen), min(1.0, high + unseen)
    return Estimate(tested.value, low, high, tested.n)


def perplexity_ratio(
    first: Sequence[Sequence[Likelihood]],
    second: Sequence[Sequence[Likelihood]],
    *,
    by_seed: bool = False,
) -> Difference:
    """Return first over second on the same test rows, paired by id; below 1 is better.

    The arguments hold the rows of each training seed, in one order of seeds if `by_seed`.
    Differences are of nats a token and become ratios by exp.
    """
    runs = [{row.id: row for row in rows} for rows in (*first, *second)]
    one = runs[0]
    if not one or any(other.keys() != one.keys() for other in runs):
        return Difference(None, "measured on different test rows")
    if any(row.tokens != one[key].tokens for other in runs for key, row in other.items()):
        return Difference(None, "the test rows have other tokens: perplexities a token differ")
    groups = [row.group for row in one.values()]
    if len(set(groups)) < 2:  # the interval would have no width, and say more than is known
        return Difference(None, "all test rows are of one group")
    nats = [[other[key].nll_nats for key in one] for other in runs]
    tokens = [row.tokens for row in one.values()]
    sides = nats[: len(first)], nats[len(first) :]
    tested = statistics.paired_runs(*sides, groups, tokens, by_seed=by_seed)
    value, low, high = (math.exp(end) for end in tested[:3])
    return Difference(Estimate(value, low, high, tested.n), p=tested.p)


def pooled_perplexity(runs: Sequence[Sequence[Likelihood]]) -> Estimate | None:
    """Return the perplexity over training seeds, the exponential of their mean in nats."""
    nothing = [[replace(row, nll_nats=0.0) for row in runs[0]]]
    return perplexity_ratio(runs, nothing).estimate
