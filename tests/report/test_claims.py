"""Words: what three seeds, an interval and Holm's correction allow, and nothing else."""

import dataclasses

import pytest
from potstill import statistics
from potstill.errors import InputError
from potstill.report.claims import Claim, corrected
from potstill.report.comparison import View
from potstill.report.differences import Difference
from potstill.report.results import Estimate


def claim(low=0.1, high=0.3, seeds=3, p=0.001, *, primary=True, measure="pass_at_1"):
    found = Difference(Estimate((low + high) / 2, low, high, 200), p=p)
    return Claim("chores", measure, "kd", "other", found, seeds, primary, p)


@pytest.mark.parametrize(
    ("changes", "word", "why"),
    [
        ({}, "better", ""),
        ({"low": -0.3, "high": -0.1}, "worse", ""),
        ({"low": 0.0}, "not established", "the interval includes no difference"),
        ({"low": -0.1}, "not established", "the interval includes no difference"),
        ({"seeds": 1}, "not established", "one training seed of the three"),
        ({"seeds": 2}, "not established", "two training seeds of the three"),
        ({"seeds": 2, "low": -0.3, "high": -0.1}, "not established", "two training seeds"),
        ({"seeds": None}, "better", ""),
        ({"p": 0.06}, "not established", "p 0.06"),
        ({"p": 0.04}, "better", ""),
        ({"p": 0.06, "primary": False}, "not established", "p 0.06 after Holm's correction"),
        ({"p": 0.04, "primary": False}, "better", ""),
        ({"measure": "malformed"}, "worse", ""),
        ({"measure": "malformed", "low": -0.3, "high": -0.1}, "better", ""),
        ({"measure": "perplexity", "low": 0.8, "high": 0.9}, "better", ""),
        ({"measure": "perplexity", "low": 1.1, "high": 1.2}, "worse", ""),
        ({"measure": "perplexity", "low": 0.9, "high": 1.1}, "not established", "the interval"),
    ],
)
def test_the_word(changes, word, why):
    found = claim(**changes)
    assert found.word == word
    assert why in found.why_not
    assert bool(found.why_not) == (word == "not established")


def test_what_was_not_measured_is_not_established():
    found = Claim("chores", "pass_at_1", "kd", "other", Difference(None, "cut off"), 3, True)
    assert (found.word, found.why_not) == ("not established", "cut off")


def test_the_exploratory_are_corrected_for_their_number_and_the_primary_is_not():
    nothing = Claim("chores", "pass_at_1", "kd", "x", Difference(None, "cut off"), 3, False)
    found = corrected([claim(p=0.03), claim(p=0.03, primary=False), nothing,
                       claim(p=0.01, primary=False)])  # fmt: skip
    assert [one.p for one in found] == [0.03, 0.03, 1.0, 0.02]
    many = corrected([claim(p=0.01, primary=False) for _ in range(6)])
    assert {one.word for one in many} == {"not established"}


def test_the_report_of_three_seeds_and_of_one(unchanged, seeded):
    of_one = {c.word for c in unchanged.claims if c.first == "kd"}
    assert of_one == {"not established"}
    found = {(c.task, c.second): c for c in seeded.claims if c.first == "kd"}
    assert found["chores", "untrained"].word == "better"
    assert found["chores", "untrained"].is_primary
    assert found["chores", "labels_only"].word == "not established"
    assert found["perplexity", "labels_only"].word == "better"
    assert found["perplexity", "teacher"].word == "worse"
    assert {c.seeds for c in found.values()} == {3}
    assert [c.is_primary for c in seeded.claims] == [True] + [False] * (len(seeded.claims) - 1)


def test_a_control_without_training_has_no_seeds(seeded):
    """Its start is given; of the student's side there are three."""
    assert not seeded.students["untrained"].is_trained
    assert seeded.claim("chores", "untrained").seeds == 3


def test_quantised_exports_of_one_checkpoint_need_no_seeds(unchanged):
    found = [c for c in unchanged.claims if c.second == "kd-f16"]
    assert {c.first for c in found} == {"kd-q8_0", "kd-q4_k_m", "kd-q4_0", "kd-onnx_int8"}
    assert {c.seeds for c in found} == {None}


def with_seeds(view, **seeds):
    """The view with other seeds of the students' runs, in the order of the settings."""
    runs = dict(view.results.runs)
    for name, of_runs in seeds.items():
        for run, seed in zip(view.students[name].runs, of_runs, strict=True):
            runs[run.name] = dataclasses.replace(run, seed=seed)
    return View(dataclasses.replace(view.results, runs=runs), view.settings)


def width(view):
    found = view.claim("chores", "labels_only").found.estimate
    return found.high - found.low


def test_runs_of_equal_seeds_are_compared_in_pairs_in_any_order(seeded):
    """By hand: the second seed's runs stand first on one side."""
    values = [
        {row["id"]: (float(row["passed"]), row["family"]) for row in item.scores["chores"].rows}
        for name in ("kd", "labels_only")
        for item in seeded.students[name].variants
    ]
    keys = sorted(values[0])
    each = [[found[key][0] for key in keys] for found in values]
    families = [values[0][key][1] for key in keys]
    turned = with_seeds(seeded, kd=(1, 0, 2))
    for view, first in ((seeded, each[:3]), (turned, [each[1], each[0], each[2]])):
        want = statistics.paired_runs(first, each[3:], families, by_seed=True)
        found = view.claim("chores", "labels_only").found.estimate
        assert (found.low, found.high) == pytest.approx((want.low, want.high))
    assert width(turned) != width(seeded)


def test_runs_of_other_seeds_are_not_paired(seeded):
    other = with_seeds(seeded, labels_only=(0, 1, 3))
    same = with_seeds(seeded, kd=(0, 1, 3), labels_only=(0, 1, 3))
    assert width(same) == width(seeded) != width(other)


def test_a_seed_that_was_trained_twice_is_no_second_seed(seeded):
    with pytest.raises(InputError, match="kd: its runs have the seeds 0, 0, 2"):
        with_seeds(seeded, kd=(0, 0, 2))
