"""Pairing by problem; the interval itself is tests/test_statistics.py's."""

import math
from dataclasses import replace

import pytest
from potstill import statistics
from potstill.report.differences import between, perplexity_ratio, pooled_perplexity, pooled_rate
from potstill.report.results import PAIRED


@pytest.fixture
def pair(look):
    variants = look().results.variants
    return variants["kd-q8_0"], variants["untrained-q8_0"]


def compare(first, second, task="chores", measure="pass_at_1"):
    return between([first], [second], task, measure)


def with_rows(item, rows, **others):
    score = replace(item.scores["chores"], rows=rows, **others)
    return replace(item, scores=item.scores | {"chores": score})


def rows_of(item):
    return item.scores["chores"].rows


def test_the_difference_is_that_of_the_rates_on_the_same_problems(pair):
    first, second = pair
    found = compare(first, second).estimate
    passed = [sum(row["passed"] for row in rows_of(item)) for item in pair]
    assert found.value == pytest.approx((passed[0] - passed[1]) / 200)
    assert found.n == 200
    assert found.low < found.value < found.high


def test_of_one_seed_it_is_the_paired_difference_that_the_command_line_says(pair):
    found = compare(*pair).estimate
    flags = [[row["passed"] for row in rows_of(item)] for item in pair]
    keys = [row["id"] for row in rows_of(pair[0])]
    order = sorted(range(200), key=keys.__getitem__)
    families = [rows_of(pair[0])[place]["family"] for place in order]
    want = statistics.paired_difference(*([f[n] for n in order] for f in flags), families)
    assert (found.value, found.low, found.high) == pytest.approx(want[:3])


def test_order_of_rows_does_not_matter_and_swapping_sides_changes_the_sign(pair):
    first, second = pair
    found = compare(first, second)
    assert compare(with_rows(first, rows_of(first)[::-1]), second) == found
    back = compare(second, first)
    assert (back.estimate.value, back.p) == pytest.approx((-found.estimate.value, found.p))
    assert back.estimate.low == pytest.approx(-found.estimate.high)


def test_only_common_problems_count(pair):
    first, second = pair
    some = with_rows(first, rows_of(first)[:60])
    found = compare(some, second).estimate
    assert found.n == 60
    assert found == compare(some, with_rows(second, rows_of(second)[:60])).estimate


@pytest.mark.parametrize("measure", ["inside_subset", "malformed"])
def test_each_measure_is_compared_by_its_own_flag(pair, measure):
    first, second = pair
    keys = PAIRED[measure]
    worse = with_rows(second, [row | dict.fromkeys(keys, False) for row in rows_of(second)])
    found = compare(first, worse, measure=measure).estimate
    share = sum(all(row[key] for key in keys) for row in rows_of(first)) / 200
    assert found.value == pytest.approx(share)


def test_several_samples_of_a_problem_weigh_as_one(pair):
    first, second = pair
    again = [row | {"sample": 1, "passed": False} for row in rows_of(first)]
    found = compare(with_rows(first, rows_of(first) + again), second).estimate
    passed = [sum(row["passed"] for row in rows_of(item)) for item in pair]
    assert (found.value, found.n) == (pytest.approx((passed[0] / 2 - passed[1]) / 200), 200)


def test_seeds_are_meaned_and_their_differences_widen_the_interval(pair):
    first, second = pair
    rows = rows_of(first)
    more = [row | {"passed": row["passed"] or row["level"] == 2} for row in rows]
    fewer = [row | {"passed": row["passed"] and row["level"] != 1} for row in rows]
    better, worse = with_rows(first, more), with_rows(first, fewer)
    found = between([first, better, worse], [second], "chores", "pass_at_1").estimate
    each = [compare(item, second).estimate for item in (first, better, worse)]
    assert found.value == pytest.approx(sum(one.value for one in each) / 3)
    assert found.high - found.low > max(one.high - one.low for one in each)
    equal = between([first] * 3, [second], "chores", "pass_at_1").estimate
    assert (equal.low, equal.high) == pytest.approx((each[0].low, each[0].high), abs=0.02)


def test_a_reason_stands_where_there_is_no_difference(pair):
    first, second = pair
    assert between([], [second], "chores", "pass_at_1").reason
    cut = with_rows(second, [], measures={}, reason="cut off")
    assert compare(first, cut).reason == "untrained-q8_0, chores: cut off"
    assert "essays: 26.7% of the answers were cut off" in compare(first, second, "essays").reason
    assert "untrained-q8_0, other: it was not tried" in compare(second, first, "other").reason
    other = with_rows(first, [row | {"id": f"other {row['id']}"} for row in rows_of(first)])
    assert "tried different chores" in compare(other, second).reason


def test_one_family_has_no_interval(pair):
    first, second = (
        with_rows(item, [row | {"family": "one"} for row in rows_of(item)]) for item in pair
    )
    assert "one family" in compare(first, second).reason


def test_zero_on_both_sides_is_nothing_to_compare(pair):
    first, second = (
        with_rows(item, [row | {"passed": False} for row in rows_of(item)]) for item in pair
    )
    assert "0 on both sides" in compare(first, second).reason


def test_equal_answers_leave_room_for_problems_that_were_not_tried(pair):
    found = compare(pair[0], pair[0])
    bound = statistics.wilson(0, 200).high
    assert found.estimate.value == 0
    assert (found.estimate.low, found.estimate.high) == (-bound, bound)
    assert found.p == 1


def test_a_rate_over_seeds_is_their_mean(pair):
    first, second = pair
    found = pooled_rate([first, second], "chores", "pass_at_1")
    each = [item.rate("chores", "pass_at_1").value for item in pair]
    assert found.value == pytest.approx(sum(each) / 2)
    assert pooled_rate([first, second], "essays", "pass_at_1") is None


@pytest.mark.parametrize("passes", [True, False])
def test_a_rate_over_seeds_that_differ_stays_a_share(pair, passes):
    def seed(few):
        rows = [row | {"passed": passes ^ (n % 40 < few)} for n, row in enumerate(rows_of(pair[0]))]
        return with_rows(pair[0], rows)

    found = pooled_rate([seed(0), seed(12)], "chores", "pass_at_1")
    assert 0 <= found.low < found.value < found.high <= 1
    assert found.low == 0 or found.high == 1  # as wide as two seeds that differ make it


def test_the_ratio_is_that_of_the_perplexities_and_pairing_narrows_it(look):
    runs = look().results.runs
    kd, labels = runs["kd"].test_rows, runs["labels_only"].test_rows
    found = perplexity_ratio([kd], [labels]).estimate
    each = [
        math.exp(sum(row.nll_nats for row in rows) / sum(row.tokens for row in rows))
        for rows in (kd, labels)
    ]
    assert found.value == pytest.approx(each[0] / each[1])
    assert found.n == 120
    assert found.low <= found.value <= found.high
    assert found.high - found.low < 1e-9  # the tree's rows differ by a factor only
    assert perplexity_ratio([kd[::-1]], [labels]).estimate.value == pytest.approx(found.value)
    back = perplexity_ratio([labels], [kd]).estimate
    assert back.value == pytest.approx(1 / found.value)
    pooled = pooled_perplexity([kd, labels]).value
    assert pooled == pytest.approx(math.sqrt(each[0] * each[1]))


def test_a_reason_stands_where_there_is_no_ratio(look):
    kd = look().results.runs["kd"].test_rows
    assert "different test rows" in perplexity_ratio([kd], [kd[1:]]).reason
    assert "different test rows" in perplexity_ratio([[]], [[]]).reason
    one = [replace(row, group="one") for row in kd]
    assert "one group" in perplexity_ratio([one], [one]).reason
    finer = [replace(row, tokens=row.tokens + 1) for row in kd]
    assert "other tokens" in perplexity_ratio([kd], [finer]).reason
