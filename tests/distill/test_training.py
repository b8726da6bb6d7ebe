"""Training: several passes are one big batch, the loss falls, padding does not count."""

import copy

import pytest
import torch
from potstill.distill import training
from pydantic import ValidationError

from tests.distill.runs import LABELS, example, run, schedule


def test_several_passes_equal_one(model, tmp_path, monkeypatch):
    other = copy.deepcopy(model)
    rows = [example(tuple(range(i, i + 9 + i % 3)), 2, "g") for i in range(8)]
    sizes = []
    real = training.batch_loss

    def counted(trained, part, *rest):
        sizes.append(len(part))
        return real(trained, part, *rest)

    monkeypatch.setattr(training, "batch_loss", counted)
    one = schedule(steps=2, batch_rows=8, pass_tokens=1000, checkpoint_every=0)
    some = schedule(steps=2, batch_rows=8, pass_tokens=22, checkpoint_every=0)
    _, big = run(model, one, tmp_path / "a", rows)
    _, small = run(other, some, tmp_path / "b", rows)
    assert sizes == [8, 8, *[2, 2, 2, 2] * 2]
    assert all(torch.allclose(big[name], small[name], atol=1e-5) for name in big)


def test_training_lowers_the_loss(model, tmp_path):
    history, _ = run(model, schedule(steps=25, checkpoint_every=0), tmp_path)
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    assert [row["step"] for row in history] == list(range(1, 26))
    assert history[-1]["tokens"] > history[0]["tokens"]


def test_zeros_stay_where_they_are(model, tmp_path):
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight[weight.abs() < weight.abs().median()] = 0
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    how = schedule(steps=8, keep_zeros=True, weight_decay=0.1)
    history, after = run(model, how, tmp_path)
    for name, weight in after.items():
        if weight.ndim == 2:
            assert torch.equal(weight == 0, before[name] == 0), name
        assert not torch.equal(weight, before[name])
    assert history[-1]["loss"] < history[0]["loss"]


def test_an_adapter_keeps_no_zeros():
    with pytest.raises(ValidationError, match="zeros as well: leave one of the two out"):
        schedule(keep_zeros=True, adapter={"kind": "vectors"})


def test_prompts_and_padding_do_not_reach_the_loss(model):
    def loss(rows):
        return training.batch_loss(model, rows, LABELS, torch.float32).loss.item()

    short, long = example((3, 4, 5, 6), 2, "g"), example(tuple(range(20)), 5, "g")
    assert loss([short, long]) == pytest.approx(loss([short]) + loss([long]), rel=1e-5)


def test_layers_that_are_computed_twice_give_the_same_bytes(model, tmp_path):
    other = copy.deepcopy(model)
    calls = []
    model.model.layers[0].mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    kept_history, kept = run(other, schedule(), tmp_path / "kept")
    history, weights = run(model, schedule(gradient_checkpointing=True), tmp_path / "twice")
    assert len(calls) == 2 * schedule().steps
    assert history == kept_history
    assert all(torch.equal(weights[name], kept[name]) for name in kept)
