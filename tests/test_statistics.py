"""Intervals against scipy, brute force and coverage."""

import numpy as np
import pytest
from potstill import statistics
from scipy import stats


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (5, 5), (3, 40), (82, 164), (1, 1)])
def test_wilson_equals_scipy(successes, n):
    expected = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    got = statistics.wilson(successes, n)
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert got.value == successes / n


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 4)])
def test_what_is_no_rate_is_refused(successes, n):
    with pytest.raises(ValueError, match="is not a rate"):
        statistics.wilson(successes, n)


def test_the_mean_is_weighted_by_rows_and_the_ratio_by_denominators():
    assert statistics.cluster_mean([1, 0, 0, 0], ["a", "b", "b", "b"]).value == 0.25
    ratio = statistics.cluster_ratio([6.0, 1.0], [3.0, 1.0], ["a", "b"])
    assert ratio.value == 7 / 4
    assert ratio.n == 2


def test_groups_of_one_row_give_the_bootstrap_of_scipy():
    values = np.random.default_rng(3).normal(size=60)
    got = statistics.cluster_mean(list(values), [str(i) for i in range(60)])
    want = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=9999, rng=1
    ).confidence_interval
    assert (got.low, got.high) == pytest.approx((want.low, want.high), abs=0.03)


def test_copies_of_a_row_do_not_narrow_the_interval():
    values = list(np.random.default_rng(0).normal(size=25))
    groups = [str(i) for i in range(25)]
    once = statistics.cluster_mean(values, groups)
    copied = statistics.cluster_mean(values * 8, groups * 8)
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high))


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    generator, hits = np.random.default_rng(5), 0
    for _ in range(200):
        effect = generator.normal(size=40)
        values = np.repeat(effect, 4) + generator.normal(size=160)
        groups = np.repeat(np.arange(40), 4).astype(str)
        interval = statistics.cluster_mean(list(values), list(groups))
        hits += interval.low <= 0 <= interval.high
    assert 176 <= hits <= 199


def test_pairing_removes_the_difficulty_of_rows():
    generator = np.random.default_rng(1)
    hard = generator.normal(size=100) * 10
    groups = [str(i) for i in range(100)]
    difference = statistics.paired_difference(list(hard + 0.5), list(hard), groups)
    assert (difference.low, difference.value, difference.high) == pytest.approx((0.5, 0.5, 0.5))


def test_equal_rows_differ_by_nothing_and_order_of_arguments_flips_the_sign():
    a, b, groups = [1, 0, 1, 1], [0, 0, 1, 0], ["x", "x", "y", "z"]
    assert statistics.paired_difference(a, a, groups)[:3] == (0, 0, 0)
    forth = statistics.paired_difference(a, b, groups)
    back = statistics.paired_difference(b, a, groups)
    assert forth.value == -back.value == 0.5


@pytest.mark.parametrize(
    ("tops", "bottoms", "groups"),
    [([], [], []), ([1.0], [1.0, 2.0], ["a"]), ([1.0], [0.0], ["a"]), ([1.0], [1.0], [])],
)
def test_rows_that_do_not_fit_are_refused(tops, bottoms, groups):
    with pytest.raises(ValueError, match=r"rows are needed|must be positive"):
        statistics.cluster_ratio(tops, bottoms, groups)
