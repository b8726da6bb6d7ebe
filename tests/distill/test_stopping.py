"""Training ends when the validation loss falls no more, and delivers the weights of its lowest."""

import copy

import pytest
import torch
from potstill.distill import checkpoints, stopping
from potstill.errors import InputError
from pydantic import ValidationError

from tests.distill.runs import KilledError, run, schedule, weights_of
from tests.distill.test_checkpoints import damage


def stops(**changes):
    return schedule(**{"steps": 12, "evaluate_every": 2, "patience": 2} | changes)


class Losses:
    """An evaluation that says these losses one after another and remembers the weights."""

    def __init__(self, losses, dies_at=None):
        self.losses, self.dies_at = losses, dies_at
        self.weights = []

    def __call__(self, model):
        self.weights.append(weights_of(model))
        if len(self.weights) == self.dies_at:
            raise KilledError
        return self.losses[len(self.weights) - 1]


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in other)


@pytest.mark.parametrize(
    ("losses", "last", "best"),
    [
        ([3.0, 2.0, 2.5, 2.0], 8, 4),  # of equals the first; two without a lower one
        ([3.0, 2.0, 2.5, 1.5, 1.6, 1.7], 12, 8),  # the patience begins anew at each lower one
        ([3.0, 2.9, 2.8, 2.7, 2.6, 2.5], 12, 12),
        ([float("nan"), 2.0, float("nan"), float("inf")], 8, 4),
        ([1.0, 2.0, 3.0], 6, 2),
    ],
)
def test_the_weights_of_the_lowest_loss_are_delivered(model, tmp_path, losses, last, best):
    said = Losses(losses)
    history, weights = run(model, stops(), tmp_path, evaluate=said)
    assert len(history) == last
    measured = [row["step"] for row in history if "validation_nll" in row]
    assert measured == list(range(2, last + 1, 2))
    assert stopping.delivered(history, stops()) == best
    assert equal(weights, said.weights[best // 2 - 1])
    assert len(said.weights) == len(losses)


def test_without_patience_all_steps_are_made_and_the_last_is_delivered(model, tmp_path):
    said = Losses([1.0, 2.0, 3.0, 4.0, 5.0])
    history, weights = run(model, stops(patience=None), tmp_path, evaluate=said)
    assert len(history) == stopping.delivered(history, stops(patience=None)) == 12
    assert not equal(weights, said.weights[0])
    assert not [path for path in tmp_path.glob("step-*") if path.name != "step-00000010"]


@pytest.mark.parametrize("checkpoint_every", [0, 3])
@pytest.mark.parametrize("dies_at", [2, 3, 4, 5])
def test_a_killed_run_delivers_the_same_bytes(model, tmp_path, checkpoint_every, dies_at):
    """The lowest is the second of five: before it, at it, after it, and as the run would end."""
    losses = [3.0, 2.0, 2.6, 2.5, 2.4]
    plan = stops(patience=3, checkpoint_every=checkpoint_every)
    fresh, other = copy.deepcopy(model), copy.deepcopy(model)
    whole_history, whole = run(model, plan, tmp_path / "whole", evaluate=Losses(losses))
    with pytest.raises(KilledError):
        run(other, plan, tmp_path / "cut", evaluate=Losses(losses, dies_at))
    saved = checkpoints.newest(tmp_path / "cut")
    seen = sum(step <= int(saved.name[-8:]) for step in range(2, 12, 2))
    history, weights = run(fresh, plan, tmp_path / "cut", evaluate=Losses(losses[seen:]))
    assert seen > 0
    assert history == whole_history
    assert len(history) == 10
    assert equal(weights, whole)


def test_the_best_weights_lie_beside_the_last_checkpoint_without_their_moments(model, tmp_path):
    run(model, stops(checkpoint_every=1), tmp_path, evaluate=Losses([3.0, 2.0, 2.5, 2.0]))
    best, last = sorted(tmp_path.iterdir())
    assert (best.name, last.name) == ("step-00000004", "step-00000008")
    names = {path.name for path in best.iterdir()}
    assert names == {checkpoints.WEIGHTS, checkpoints.COMPLETE, "history.json"}
    size = (best / checkpoints.WEIGHTS).stat().st_size
    weights = sum(p.numel() for p in model.parameters())
    assert size == pytest.approx(4 * weights, rel=0.1)
    assert checkpoints.newest(tmp_path) == last


def test_a_checkpoint_whose_best_weights_are_damaged_is_not_gone_on_from(model, tmp_path):
    fresh = copy.deepcopy(model)
    losses = [3.0, 2.0, 2.5, 2.0]
    _, whole = run(model, stops(checkpoint_every=1), tmp_path, evaluate=Losses(losses))
    damage(tmp_path / "step-00000004" / checkpoints.WEIGHTS)
    with pytest.raises(InputError, match="damaged: run again"):
        checkpoints.load_weights(model, tmp_path, 4)
    assert checkpoints.newest(tmp_path) is None
    said = Losses(losses)
    _, again = run(fresh, stops(checkpoint_every=1), tmp_path, evaluate=said)
    assert len(said.weights) == 4
    assert equal(again, whole)


def test_patience_without_measurements_between_steps_is_refused():
    with pytest.raises(ValidationError, match="set evaluate_every above 0"):
        stops(evaluate_every=0)
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        stops(patience=0)
