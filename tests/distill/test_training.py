"""Training: resuming is byte-equal, accumulation is a big batch, the loss falls."""

import copy
import json

import pytest
import torch
from potstill import files
from potstill.distill import training
from potstill.distill.objective import Objective
from potstill.distill.recipe import Recipe
from potstill.distill.training import Loss
from potstill.loading import load
from potstill.tokens.examples import Example

CPU = torch.device("cpu")
LABELS = Loss(Objective("cross_entropy", chunk_tokens=16))


def example(ids, start, group):
    return Example(tuple(ids), ((start, len(ids), 1.0),), group)


ROWS = [example(tuple((7 * i + j) % 300 for j in range(6 + i % 5)), 2, "g") for i in range(12)]


def schedule(**changes):
    values = {
        "start": "pruned",
        "steps": 6,
        "batch_rows": 4,
        "accumulate": 1,
        "learning_rate": 3e-3,
        "warmup_steps": 2,
        "weight_decay": 0.01,
        "clip_norm": 1.0,
        "evaluate_every": 0,
        "checkpoint_every": 2,
        "alpha": 1.0,
        "temperature": 1.0,
        "max_rows": 99,
        "chunk_tokens": 16,
        "precision": "float32",
        "threads": 2,
        "seed": 5,
    }
    return Recipe(**(values | changes))


@pytest.fixture
def model(tiny_llama):
    torch.manual_seed(0)
    return load.causal_lm(tiny_llama, torch.float32, CPU)


def run(model, plan, scratch, rows=ROWS, evaluate=lambda _: 1.25):
    history = training.train(
        model, rows, LABELS, plan, dtype=torch.float32, scratch=scratch, evaluate=evaluate
    )
    return history, {name: p.detach().clone() for name, p in model.named_parameters()}


class KilledError(Exception):
    pass


@pytest.mark.parametrize("stop_at", [3, 5])
def test_a_killed_run_goes_on_to_the_same_bytes(model, tmp_path, stop_at):
    other = copy.deepcopy(model)
    whole_history, whole = run(model, schedule(evaluate_every=1), tmp_path / "whole")
    calls = 0

    def dies(_):
        nonlocal calls
        calls += 1
        if calls == stop_at:
            raise KilledError
        return 1.25

    start = copy.deepcopy(other)
    with pytest.raises(KilledError):
        run(other, schedule(evaluate_every=1), tmp_path / "cut", evaluate=dies)
    assert list((tmp_path / "cut").glob("step-*"))
    history, weights = run(start, schedule(evaluate_every=1), tmp_path / "cut")
    assert history == whole_history
    assert all(torch.equal(weights[name], whole[name]) for name in whole)


def test_a_damaged_checkpoint_is_not_used(model, tmp_path):
    fresh = copy.deepcopy(model)
    _, whole = run(model, schedule(), tmp_path / "a")
    newest = sorted((tmp_path / "a").glob("step-*"))[-1]
    weights = newest / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    _, again = run(fresh, schedule(), tmp_path / "a")
    assert all(torch.equal(again[name], whole[name]) for name in whole)


def test_a_checkpoint_without_its_marker_is_not_used(model, tmp_path):
    run(model, schedule(), tmp_path)
    newest = sorted(tmp_path.glob("step-*"))[-1]
    assert training._whole(newest)
    (newest / training.COMPLETE).unlink()
    assert not training._whole(newest)


def test_accumulation_equals_a_big_batch(model, tmp_path):
    other = copy.deepcopy(model)
    rows = [example(tuple(range(i, i + 9)), 2, "g") for i in range(8)]
    one = schedule(steps=2, batch_rows=8, checkpoint_every=0)
    four = schedule(steps=2, batch_rows=2, accumulate=4, checkpoint_every=0)
    _, big = run(model, one, tmp_path / "a", rows)
    _, small = run(other, four, tmp_path / "b", rows)
    assert all(torch.allclose(big[name], small[name], atol=1e-5) for name in big)


def test_training_lowers_the_loss(model, tmp_path):
    history, _ = run(model, schedule(steps=25, checkpoint_every=0), tmp_path)
    assert history[-1]["loss"] < 0.7 * history[0]["loss"]
    assert [row["step"] for row in history] == list(range(1, 26))
    assert history[-1]["tokens"] > history[0]["tokens"]


def test_prompts_and_padding_do_not_reach_the_loss(model):
    def loss(rows):
        return training.batch_loss(model, rows, LABELS, torch.float32).loss.item()

    short, long = example((3, 4, 5, 6), 2, "g"), example(tuple(range(20)), 5, "g")
    assert loss([short, long]) == pytest.approx(loss([short]) + loss([long]), rel=1e-5)


def test_learning_rate_warms_up_and_falls_to_a_tenth():
    plan = schedule(steps=100, warmup_steps=10, learning_rate=1.0)
    rates = [training.learning_rate(plan, step) for step in range(101)]
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert max(rates) == rates[10] == 1.0
    assert rates[100] == pytest.approx(0.1)


def test_a_loss_that_is_not_a_number_stops_the_run(model, tmp_path):
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="learning_rate"):
        run(model, schedule(), tmp_path)


def test_only_the_newest_checkpoint_stays(model, tmp_path):
    run(model, schedule(), tmp_path)
    (folder,) = tmp_path.glob("step-*")
    assert json.loads((folder / "history.json").read_text())[-1]["step"] == 4
    assert files.files_below(folder)
