"""Settings that cannot mean anything are refused before any work."""

import pytest
from potstill.errors import InputError
from potstill.params import build
from potstill.report.settings import Comparison

from tests.report.fake_tree import SETTINGS

RATIO = {"measure": "ratio_high", "of": "perplexity", "against": "untrained", "below": 1.0}
DROP = {"measure": "drop_high", "task": "chores", "of": "pass_at_1", "at_most": 0.1}
PRIMARY = SETTINGS["primary"]


def settings(**changes):
    return build(Comparison, {"compare": SETTINGS | changes}, "compare")


def test_the_settings_of_the_tests_are_accepted_and_the_controls_follow():
    assert settings().controls == ["labels_only", "untrained"]


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({"measure": "size_mb"}, "give one of"),
        ({"measure": "size_mb", "below": 1.0, "above": 0.0}, "give one of"),
        ({"measure": "size_mb", "below": float("nan")}, "finite"),
        ({"measure": "size_mb", "below": "1"}, "below"),
        ({"measure": "sizes", "below": 1.0}, "size_mb"),
        ({"measure": "size_mb", "below": 1.0, "against": "untrained"}, "got against"),
        ({"measure": "ratio_high", "below": 1.0, "of": "perplexity"}, "needs against, of, got of"),
        (RATIO | {"against": "labels"}, "labels_only"),
        (RATIO | {"against": "kd"}, "it is the delivered student"),
        (RATIO | {"of": "pass_at_1"}, "allowed: perplexity"),
        (RATIO | {"task": "chores"}, "got against, of, task"),
        ({"measure": "rate", "of": "malformed", "at_most": 0.1}, "rate needs of, task, got of"),
        ({"measure": "drop_high", "task": "chores", "at_most": 0.1}, "needs of, task, got task"),
        (DROP | {"of": "passed_at_1"}, "did you mean pass_at_1"),
        (DROP | {"of": "malformed"}, "allowed: inside_subset, pass_at_1"),
        ({"measure": "size_mb", "under": 1.0}, "under"),
    ],
)
def test_a_gate_that_means_nothing_is_refused(gate, message):
    with pytest.raises(InputError, match=message):
        settings(gates={"g": gate})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"student": "kdd"}, "did you mean kd"),
        ({"students": {"kd": [], "untrained": "u"}}, "students"),
        ({"primary": PRIMARY | {"against": "kd"}}, "it is the delivered student"),
        ({"primary": PRIMARY | {"against": "labels"}}, "did you mean labels_only"),
        ({"primary": PRIMARY | {"measure": "rates"}}, "allowed: escalated, hit_limit"),
        ({"primary": None}, "primary"),
        ({"students": {}}, "at least the delivered student"),
        ({"on_failure": "ignore"}, "'report' or 'stop'"),
    ],
)
def test_roles_that_do_not_exist_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        settings(**change)


def test_a_student_is_scored_through_one_export_or_one_for_each_seed():
    given = {"kd": ["kd-s0-q8_0", "kd-s1-q8_0"], "labels_only": "l", "untrained": "u"}
    found = settings(students=given).students
    assert found == {"kd": given["kd"], "labels_only": ["l"], "untrained": ["u"]}


@pytest.mark.parametrize(
    ("gate", "decides"),
    [
        (DROP, True),
        (DROP | {"at_most": 1.0}, False),
        (DROP | {"at_most": None, "below": 1.0}, True),
        ({"measure": "rate", "task": "t", "of": "x", "at_least": 0.0}, False),
        ({"measure": "rate", "task": "t", "of": "x", "above": 0.0}, True),
        ({"measure": "size_mb", "at_most": 1e6}, True),
        ({"measure": "parity", "at_least": 1.0}, True),
    ],
)
def test_a_bound_decides_if_some_outcome_fails_it(gate, decides):
    assert settings(gates={"g": gate}).gates["g"].decides == decides


@pytest.mark.parametrize("role", ["teacher", "baseline", "students"])
def test_a_role_needs_an_exported_variant(look, role):
    value = SETTINGS["students"] | {"kd": "kd-q5_0"} if role == "students" else "kd-q5_0"
    with pytest.raises(InputError, match=rf"compare\.{role}.*: no variant 'kd-q5_0'.*kd-q4_0"):
        look(**{role: value})
