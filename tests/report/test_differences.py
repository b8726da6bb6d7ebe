"""Pairing by problem; the interval itself is tests/test_statistics.py's."""

import math
from dataclasses import replace

import pytest
from potstill.report.differences import between, perplexity_ratio


@pytest.fixture
def pair(look):
    variants = look().results.variants
    return variants["kd-q8_0"], variants["untrained-q8_0"]


def test_the_difference_is_that_of_the_rates_on_the_same_problems(pair):
    first, second = pair
    found = between(first, second).estimate
    passed = [sum(row["passed"] for row in item.rows) for item in pair]
    assert found.value == pytest.approx((passed[0] - passed[1]) / 200)
    assert found.n == 200
    assert found.low < found.value < found.high


def test_order_of_rows_does_not_matter_and_swapping_sides_changes_the_sign(pair):
    first, second = pair
    found = between(first, second).estimate
    assert between(replace(first, rows=first.rows[::-1]), second).estimate == found
    back = between(second, first).estimate
    assert (back.value, back.low) == pytest.approx((-found.value, -found.high))


def test_only_common_problems_count(pair):
    first, second = pair
    some = replace(first, rows=first.rows[:60])
    found = between(some, second).estimate
    assert found.n == 60
    assert found == between(some, replace(second, rows=second.rows[:60])).estimate


def test_the_other_benchmark_is_not_mixed_in(pair):
    first, second = pair
    extra = [row | {"task": "humaneval", "id": f"h{row['id']}"} for row in first.rows]
    mixed = replace(first, rows=first.rows + extra)
    assert between(mixed, second) == between(first, second)
    found = between(mixed, second, "humaneval")
    assert (found.estimate, found.reason) == (None, "untrained-q8_0 tried no humaneval")


def test_a_reason_stands_where_there_is_no_difference(pair):
    first, second = pair
    assert between(None, second).reason
    assert "tried no katas" in between(replace(first, rows=[]), second).reason
    other = [row | {"id": f"other {row['id']}"} for row in first.rows]
    assert "tried different katas" in between(replace(first, rows=other), second).reason


def test_one_family_has_no_interval(pair):
    first, second = (
        replace(item, rows=[row | {"family": "one"} for row in item.rows]) for item in pair
    )
    assert "one family" in between(first, second).reason


def test_the_ratio_is_that_of_the_perplexities_and_pairing_narrows_it(look):
    students = look().results.students
    kd, labels = students["kd"].test_rows, students["labels_only"].test_rows
    found = perplexity_ratio(kd, labels).estimate
    each = [
        math.exp(sum(row.nll_nats for row in rows) / sum(row.tokens for row in rows))
        for rows in (kd, labels)
    ]
    assert found.value == pytest.approx(each[0] / each[1])
    assert found.n == 120
    assert found.low <= found.value <= found.high
    assert found.high - found.low < 1e-9  # the tree's rows differ by a factor only
    assert perplexity_ratio(kd[::-1], labels).estimate.value == pytest.approx(found.value)
    back = perplexity_ratio(labels, kd).estimate
    assert back.value == pytest.approx(1 / found.value)


def test_a_reason_stands_where_there_is_no_ratio(look):
    kd = look().results.students["kd"].test_rows
    assert "different test rows" in perplexity_ratio(kd, kd[1:]).reason
    assert "different test rows" in perplexity_ratio([], []).reason
    one = [replace(row, group="one") for row in kd]
    assert "one group" in perplexity_ratio(one, one).reason
