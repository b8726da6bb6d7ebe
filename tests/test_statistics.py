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


def runs(generator, seeds, effect, of_seed, rows=4):
    """Values of some seeds: families differ, seeds differ, and both differ together."""
    each = []
    for _ in range(seeds):
        family = effect + of_seed * (generator.normal() + 0.3 * generator.normal(size=len(effect)))
        each.append(np.repeat(family, rows) + generator.normal(size=len(effect) * rows))
    return each


@pytest.mark.parametrize(
    ("seeds", "of_seed", "families"),
    [((1, 1), 0.0, 40), ((1, 1), 0.0, 12), ((3, 3), 1.0, 40), ((3, 3), 0.2, 40), ((3, 1), 1.0, 40)],
)
def test_intervals_and_p_values_of_runs_are_calibrated(seeds, of_seed, families):
    """Without a difference: the interval holds 0 and p is below a in no more cases than it says.

    A side of one seed is a model that is given, so that it has no variance of its own.
    """
    generator, held, p_values, repeats = np.random.default_rng(7), 0, [], 100
    groups = np.repeat(np.arange(families), 4).astype(str)
    for _ in range(repeats):
        effect = generator.normal(size=families)
        first = runs(generator, seeds[0], effect, of_seed)
        second = runs(generator, seeds[1], 0 * effect, of_seed if seeds[1] > 1 else 0.0)
        tested = statistics.paired_runs(first, second, groups)
        held += tested.low <= 0 <= tested.high
        p_values.append(tested.p)
    assert held / repeats >= 0.9
    for level in (0.05, 0.2, 0.5):
        share = np.mean(np.asarray(p_values) <= level)
        assert share <= level + 3 * (level * (1 - level) / repeats) ** 0.5
    if seeds == (1, 1):  # an exact test: p is uniform, and not only large
        assert stats.kstest(p_values, "uniform").pvalue > 0.01


def shared(generator, seeds, of_seed, of_pair, families, rows=4):
    """Values of both sides: a seed moves them alike by `of_seed`, each alone by `of_pair`."""
    sides = ([], [])
    for _ in range(seeds):
        alike = of_seed * (generator.normal() + 0.3 * generator.normal(size=families))
        for side in sides:
            alone = of_pair * (generator.normal() + 0.3 * generator.normal(size=families))
            noise = generator.normal(size=families * rows)
            side.append(np.repeat(alike + alone, rows) + noise)
    return sides


@pytest.mark.parametrize(("of_seed", "of_pair"), [(1.0, 0.2), (1.0, 1.0), (0.0, 1.0)])
def test_pairs_of_seeds_are_calibrated_whether_a_seed_moves_both_sides_alike_or_not(
    of_seed, of_pair
):
    generator, held, p_values, repeats = np.random.default_rng(11), 0, [], 100
    groups, widths = np.repeat(np.arange(40), 4).astype(str), []
    for _ in range(repeats):
        effect = np.repeat(generator.normal(size=40), 4)
        first, second = shared(generator, 3, of_seed, of_pair, 40)
        first = [values + effect for values in first]
        tested = statistics.paired_runs(first, second, groups, by_seed=True)
        held += tested.low <= 0 <= tested.high
        p_values.append(tested.p)
        if of_pair < of_seed and len(widths) < 20:
            apart = statistics.paired_runs(first, second, groups)
            widths.append((tested.high - tested.low) / (apart.high - apart.low))
    assert held / repeats >= 0.9
    for level in (0.05, 0.2, 0.5):
        share = np.mean(np.asarray(p_values) <= level)
        assert share <= level + 3 * (level * (1 - level) / repeats) ** 0.5
    if widths:  # what is alike drops out, which is more than fewer degrees of freedom cost
        assert np.median(widths) < 0.6


def test_the_value_needs_no_pairs_and_one_seed_a_side_is_one_pair():
    generator = np.random.default_rng(6)
    first, second = shared(generator, 3, 1.0, 0.2, 12)
    groups = np.repeat(np.arange(12), 4).astype(str)
    pairs = statistics.paired_runs(first, second, groups, by_seed=True)
    apart = statistics.paired_runs(first, second, groups)
    assert (pairs.value, pairs.n) == (pytest.approx(apart.value), apart.n)
    pair = statistics.paired_runs(first[:1], second[:1], groups, by_seed=True)
    assert pair == pytest.approx(statistics.paired_runs(first[:1], second[:1], groups))
    with pytest.raises(ValueError, match="as many on each side"):
        statistics.paired_runs(first, second[:2], groups, by_seed=True)


def test_a_true_difference_is_found_and_more_seeds_narrow_the_interval():
    generator = np.random.default_rng(2)
    groups, effect = np.repeat(np.arange(40), 4).astype(str), generator.normal(size=40)
    sides = [runs(generator, 8, effect + shift, 0.5) for shift in (2.0, 0.0)]
    widths = []
    for seeds in (3, 8):
        tested = statistics.paired_runs(*(side[:seeds] for side in sides), groups)
        assert tested.low > 0
        assert tested.p < 0.05
        widths.append(tested.high - tested.low)
    assert widths[1] < widths[0]


def test_one_seed_a_side_is_the_paired_difference_and_weights_the_cluster_ratio():
    generator = np.random.default_rng(4)
    a, b = generator.normal(size=(2, 60))
    groups = [str(n % 15) for n in range(60)]
    tested = statistics.paired_runs([a], [b], groups)
    assert tested[:4] == pytest.approx(statistics.paired_difference(a, b, groups))
    weights = generator.integers(1, 9, size=60)
    tested = statistics.paired_runs([a], [b], groups, weights)
    assert tested[:4] == pytest.approx(statistics.cluster_ratio(list(a - b), list(weights), groups))


def test_the_p_value_of_few_groups_is_that_of_all_signs():
    """Of 6 groups there are 64 sign vectors: those as far out can be counted."""
    sums = np.array([3.0, 1.0, 2.0, -0.5, 1.5, 0.7])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 6)).reshape(6, -1)
    exact = np.mean(np.abs(sums @ signs) >= abs(sums.sum()) - 1e-9)
    tested = statistics.paired_runs([list(sums)], [[0.0] * 6], list("abcdef"))
    assert tested.p == pytest.approx(exact, abs=0.02)
    assert statistics.paired_runs([[0.0] * 6], [[0.0] * 6], list("abcdef")).p == 1


@pytest.mark.parametrize(
    ("first", "second", "groups", "weights"),
    [
        ([], [[1.0]], ["a"], None),
        ([[]], [[]], [], None),
        ([[1.0]], [[1.0, 2.0]], ["a"], None),
        ([[1.0]], [[1.0]], ["a", "b"], None),
        ([[1.0]], [[1.0]], ["a"], [0.0]),
    ],
)
def test_runs_that_do_not_fit_are_refused(first, second, groups, weights):
    with pytest.raises(ValueError, match=r"rows are needed|needs all rows|must be positive"):
        statistics.paired_runs(first, second, groups, weights)


@pytest.mark.parametrize(
    ("p_values", "want"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # R: p.adjust(p, "holm")
        ([0.01, 0.02, 0.03, 0.04, 0.05], [0.05, 0.08, 0.09, 0.09, 0.09]),
        ([0.6, 0.5], [1.0, 1.0]),
        ([0.2], [0.2]),
        ([], []),
    ],
)
def test_holm_is_that_of_r(p_values, want):
    assert statistics.holm(p_values) == pytest.approx(want)
