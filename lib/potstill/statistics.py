"""Intervals for what is measured: every figure carries one, and its n.

All are 95 % intervals. Rows of one group (the instances of a kata family, the functions of a
module) are alike, so they are resampled together: a bootstrap over rows would call noise a result.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RESAMPLES = 4000
_Z = 1.959963984540054  # 97.5 % point of the normal distribution


class Interval(NamedTuple):
    """A measured value with its 95 % interval and the number of rows behind it."""

    value: float
    low: float
    high: float
    n: int


def wilson(successes: int, n: int) -> Interval:
    """Return a rate with Wilson's score interval, for independent rows (Wilson 1927).

    Raises:
        ValueError: n is not positive, or successes are outside 0..n.
    """
    if n <= 0 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is not a rate")
    rate, z2 = successes / n, _Z * _Z
    middle = (rate + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * math.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n))
    return Interval(rate, max(0.0, middle - half), min(1.0, middle + half), n)


def cluster_ratio(
    numerators: Sequence[float],
    denominators: Sequence[float],
    groups: Sequence[str],
    *,
    seed: int = 0,
) -> Interval:
    """Return sum(numerators) / sum(denominators) with a percentile bootstrap over groups.

    With denominators of one it is a mean; with a row's tokens below its likelihood it is the
    likelihood a token. One group gives an interval of no width: nothing is known of others.

    Source: Davison and Hinkley 1997, section 3.8 (cluster resampling).

    Raises:
        ValueError: no rows, lengths that differ, or denominators that are not positive.
    """
    if not numerators or not len(numerators) == len(denominators) == len(groups):
        raise ValueError("rows are needed, and one denominator and one group for each")
    if min(denominators) <= 0:
        raise ValueError("denominators must be positive")
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    tops = np.bincount(index, weights=np.asarray(numerators, dtype=np.float64))
    bottoms = np.bincount(index, weights=np.asarray(denominators, dtype=np.float64))
    generator = np.random.default_rng(seed)
    draws = generator.integers(len(names), size=(RESAMPLES, len(names)))
    ratios = tops[draws].sum(axis=1) / bottoms[draws].sum(axis=1)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Interval(float(tops.sum() / bottoms.sum()), float(low), float(high), len(numerators))


def cluster_mean(values: Sequence[float], groups: Sequence[str], *, seed: int = 0) -> Interval:
    """Return a mean with a percentile bootstrap over groups."""
    return cluster_ratio(values, [1.0] * len(values), groups, seed=seed)


def paired_difference(
    first: Sequence[float], second: Sequence[float], groups: Sequence[str], *, seed: int = 0
) -> Interval:
    """Return mean(first - second) over the same rows, with a percentile bootstrap over groups.

    Pairing removes what both share: how hard each row is.

    Raises:
        ValueError: no rows or lengths that differ.
    """
    differences = [float(a) - float(b) for a, b in zip(first, second, strict=True)]
    return cluster_mean(differences, groups, seed=seed)


class Tested(NamedTuple):
    """A paired difference with its 95 % interval, rows, and two-sided p-value of no difference."""

    value: float
    low: float
    high: float
    n: int
    p: float


def paired_runs(
    first: Sequence[Sequence[float]],
    second: Sequence[Sequence[float]],
    groups: Sequence[str],
    weights: Sequence[float] | None = None,
    *,
    by_seed: bool = False,
    seed: int = 0,
) -> Tested:
    """Compare two recipes that were each trained from some seeds, on the same rows.

    The value is sum(mean over seeds of first - mean over seeds of second) / sum(weights). The
    interval resamples seeds above groups, for both sides at once where they share them, else each
    side for itself: every seed answered the same rows. Few seeds vary too little under resampling,
    so that their deviations are widened to Student's interval (Hesterberg 2015); a side of one seed
    is taken as it is, and the interval then speaks of that very model. With one seed a side it is
    `paired_difference`.

    p: how often groups with random signs, with seeds resampled around their mean as above, give a
    value as far from zero (Canay, Romano and Shaikh 2017; the counts as in Phipson and Smyth 2010).

    Args:
        first: [seeds][rows] values.
        second: the same of the other recipe; it may have another number of seeds.
        groups: [rows]; rows of one group are alike.
        weights: [rows], positive; None takes one each.
        by_seed: the n-th run of each side has the same seed. What a seed does to both sides alike
            then drops out, for fewer degrees of freedom: seeds - 1 instead of those of both sides.
        seed: of the resampling.

    Raises:
        ValueError: no rows, lengths that differ, or weights that are not positive.
    """
    below = np.asarray([1.0] * len(groups) if weights is None else weights, dtype=np.float64)
    sides = [np.asarray(side, dtype=np.float64) for side in (first, second)]
    if not len(groups) or any(side.ndim != 2 or not len(side) for side in sides):
        raise ValueError("rows are needed, and at least one seed a side")
    if {len(below), *(side.shape[1] for side in sides)} != {len(groups)}:
        raise ValueError("every seed needs all rows, and one weight and one group for each")
    if below.min() <= 0:
        raise ValueError("weights must be positive")
    if by_seed:  # one recipe of differences, against a model that is given
        if len(sides[0]) != len(sides[1]):
            raise ValueError("runs that are paired by seed need as many on each side")
        sides = [sides[0] - sides[1], np.zeros((1, len(groups)))]
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    bottoms = np.bincount(index, weights=below)
    tops = [_by_group(side, index, len(names)) for side in sides]  # [seeds, groups] each
    mean = tops[0].mean(axis=0) - tops[1].mean(axis=0)
    generator = np.random.default_rng(seed)
    draws = generator.integers(len(names), size=(RESAMPLES, len(names)))
    freedom = sum(len(side) - 1 for side in sides)
    parts = [_seed_weights(generator, len(side), freedom) @ side for side in tops]
    around = parts[0] - parts[1]  # [resamples, groups]: what other seeds might have given
    taken = np.take_along_axis(mean + around, draws, axis=1).sum(axis=1)
    low, high = np.percentile(taken / bottoms[draws].sum(axis=1), [2.5, 97.5])
    signs = generator.choice([-1.0, 1.0], size=draws.shape)
    chance = np.abs(signs @ mean + around.sum(axis=1))
    as_far = int((chance >= abs(mean.sum()) - 1e-9 * np.abs(mean).sum()).sum())
    value, p = mean.sum() / bottoms.sum(), (as_far + 1) / (RESAMPLES + 1)
    return Tested(float(value), float(low), float(high), len(groups), p)


def _by_group(side: np.ndarray, index: np.ndarray, count: int) -> np.ndarray:
    return np.stack([np.bincount(index, weights=row, minlength=count) for row in side])


def _seed_weights(generator: np.random.Generator, seeds: int, freedom: int) -> np.ndarray:
    """Return [resamples, seeds]: how much more or less than its share each seed counts.

    Widened to Student's interval with `freedom` degrees of freedom, those of both sides.
    """
    if seeds == 1:
        return np.zeros((RESAMPLES, 1))
    from scipy import stats

    drawn = generator.multinomial(seeds, [1 / seeds] * seeds, size=RESAMPLES) / seeds - 1 / seeds
    wider = math.sqrt(seeds / (seeds - 1)) * stats.t.ppf(0.975, freedom) / _Z
    return np.asarray(wider * drawn)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number, in the given order (Holm 1979).

    The k-th smallest of m is multiplied by m - k + 1; none becomes smaller than one before it.
    """
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided exact p-value of a paired comparison of two yes-or-no outcomes.

    Only the rows on which the two differ say anything: were both alike, each of them would fall to
    either side as a coin does (McNemar 1947, in its exact form). Rows that are alike, as those of
    one family, make it smaller than it should be: read the interval beside it.

    Raises:
        ValueError: a count is negative.
    """
    if only_first < 0 or only_second < 0:
        raise ValueError(f"{only_first} and {only_second} are not counts")
    n, few = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(n, k) for k in range(few + 1))
    return min(1.0, 2 * tail / 2**n)
