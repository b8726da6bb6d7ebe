"""Metrics of scored rows: counts that add up, and nothing where nothing was run."""

from potstill.evaluate import rates


def row(number, *, passed, benchmark="katas", family="f", inside=True, level=1, language="python"):
    return {
        "id": str(number),
        "benchmark": benchmark,
        "family": family,
        "level": level,
        "language": language,
        "passed": passed,
        "inside_subset": inside,
        "hit_length_limit": False,
    }


def test_a_benchmark_that_was_not_run_has_no_rate():
    metrics = rates.summary([])
    assert metrics == {"katas_n": 0, "humaneval_n": 0}


def test_rates_by_level_and_language_add_up():
    rows = [
        row(1, passed=True, family="a"),
        row(2, passed=True, family="a", language="javascript"),
        row(3, passed=False, family="b", level=2, inside=False),
        row(4, passed=True, family="b", level=2, inside=False),
    ]
    metrics = rates.summary(rows)
    assert metrics["katas_pass_at_1"] == 0.75
    assert metrics["katas_pass_at_1_and_inside"] == 0.5
    assert metrics["katas_inside_subset"] == 0.5
    assert metrics["katas_pass_at_1_level_2"] == 0.5
    assert metrics["katas_n_level_1"] + metrics["katas_n_level_2"] == metrics["katas_n"] == 4
    assert metrics["katas_n_python"] + metrics["katas_n_javascript"] == 4
    assert metrics["katas_families"] == 2
    assert metrics["katas_pass_at_1_low"] <= 0.75 <= metrics["katas_pass_at_1_high"]


def test_rows_that_are_all_alike_have_an_interval_over_their_families():
    rows = [row(n, passed=False, family=str(n % 10)) for n in range(40)]
    metrics = rates.summary(rows)
    assert metrics["katas_pass_at_1"] == metrics["katas_pass_at_1_low"] == 0
    assert round(metrics["katas_pass_at_1_high"], 3) == 0.278  # Wilson, 0 of 10
    assert round(metrics["katas_inside_subset_low"], 3) == 0.722  # Wilson, 10 of 10
    assert metrics["katas_inside_subset"] == metrics["katas_inside_subset_high"] == 1


def test_humaneval_has_wilsons_interval():
    rows = [row(n, passed=n < 3, benchmark="humaneval", family=str(n)) for n in range(40)]
    metrics = rates.summary(rows)
    assert 0.02 < metrics["humaneval_pass_at_1_low"] < 0.075 < metrics["humaneval_pass_at_1_high"]
    assert "humaneval_pass_at_1_level_1" not in metrics
