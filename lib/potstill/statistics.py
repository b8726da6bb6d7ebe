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
