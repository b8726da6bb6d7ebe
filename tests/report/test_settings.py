"""Settings that cannot mean anything are refused before any work."""

import pytest
from potstill.errors import InputError
from potstill.params import build
from potstill.report.settings import Comparison

from tests.report.fake_tree import SETTINGS


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
        ({"measure": "size_mb", "below": 1.0, "against": "untrained"}, "against"),
        ({"measure": "perplexity_ratio_high", "below": 1.0}, "against"),
        ({"measure": "perplexity_ratio_high", "below": 1.0, "against": "labels"}, "labels_only"),
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
        ({"students": {}}, "at least the delivered student"),
        ({"on_failure": "ignore"}, "'report' or 'stop'"),
    ],
)
def test_roles_that_do_not_exist_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        settings(**change)


@pytest.mark.parametrize("role", ["teacher", "baseline"])
def test_a_role_needs_an_exported_variant(look, role):
    with pytest.raises(InputError, match=rf"compare\.{role}: no variant 'kd-q5_0'.*kd-q4_0"):
        look(**{role: "kd-q5_0"})
