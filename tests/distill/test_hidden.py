"""Losses on hidden states: limits, gradients, shapes that do not fit, and a training with them."""

from dataclasses import replace

import pytest
import torch
from potstill.distill import checkpoints, hidden, training
from potstill.distill.hidden import Projections, hidden_loss, layer_map
from potstill.distill.objective import Objective
from potstill.distill.recipe import Hidden
from potstill.distill.training import Loss
from potstill.errors import InputError
from potstill.loading import load
from potstill.logits import source
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from tests.distill.references import draw, exact_norm
from tests.distill.runs import (
    ROWS,
    WIDE,
    KilledError,
    dies,
    live_signal,
    measures,
    schedule,
    weights_of,
)

N, D, E = 6, 5, 8
TEACHER = [draw(N, E, seed=n) for n in (1, 2)]


def states(seed=3, width=E):
    return [draw(N, width, seed=seed + n).requires_grad_() for n in range(2)]


@pytest.mark.parametrize("distance", ["cosine", "relative_mse"])
def test_equal_states_cost_nothing_and_others_do(distance):
    assert hidden_loss(TEACHER, TEACHER, distance=distance).item() == pytest.approx(0, abs=1e-12)
    assert hidden_loss(states(), TEACHER, distance=distance).item() > 1


def test_cosine_is_half_the_distance_of_directions_and_ignores_lengths():
    mine = states()
    unit = [[x / x.norm(dim=-1, keepdim=True) for x in side] for side in (mine, TEACHER)]
    want = sum(((a - b) ** 2).sum() for a, b in zip(*unit, strict=True)) / 2 / 2
    got = hidden_loss(mine, TEACHER, distance="cosine")
    assert got.item() == pytest.approx(want.item())
    longer = hidden_loss([3 * x for x in mine], TEACHER, distance="cosine")
    assert longer.item() == pytest.approx(got.item())


def test_relative_mse_is_one_for_a_silent_student_whatever_the_teachers_length():
    silent = [torch.zeros(N, E, dtype=torch.float64)] * 2
    for scale in (1.0, 1000.0):
        teacher = [scale * x for x in TEACHER]
        assert hidden_loss(silent, teacher, distance="relative_mse").item() == pytest.approx(N)


@pytest.mark.parametrize("distance", ["cosine", "relative_mse"])
def test_gradients_are_finite_differences_and_reach_the_maps(distance):
    learned = Projections(2, D, E, seed=0).double()
    mine = states(width=D)
    weights = torch.rand(N, dtype=torch.float64)

    def loss(*both):
        return hidden_loss(both, TEACHER, distance=distance, projections=learned, weights_N=weights)

    assert torch.autograd.gradcheck(loss, mine)
    loss(*mine).backward()
    assert all((p.grad.abs() > 0).any() for p in learned.parameters())


def test_weights_weigh_tokens_and_none_is_ones():
    mine, weights = states(), torch.tensor([0.0, 2.0, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    one = hidden_loss([x[1:2] for x in mine], [x[1:2] for x in TEACHER], distance="cosine")
    assert hidden_loss(mine, TEACHER, distance="cosine", weights_N=weights).item() == pytest.approx(
        2 * one.item()
    )
    ones = torch.ones(N, dtype=torch.float64)
    assert hidden_loss(mine, TEACHER, distance="cosine", weights_N=ones).item() == pytest.approx(
        hidden_loss(mine, TEACHER, distance="cosine").item()
    )


def test_maps_begin_without_distortion():
    same = Projections(1, E, E, seed=0).double()
    assert torch.equal(same(0, TEACHER[0]), TEACHER[0])
    wider = Projections(1, D, E, seed=0).double()
    mine = draw(N, D)
    assert torch.allclose(wider(0, mine).norm(dim=-1), mine.norm(dim=-1), rtol=1e-5)


def test_layers_are_spread_evenly_and_the_last_meets_the_last():
    assert layer_map(3, 12) == [(1, 4), (2, 8), (3, 12)]
    assert layer_map(4, 4) == [(n, n) for n in range(1, 5)]
    for pairs in (layer_map(7, 30), layer_map(26, 30)):
        teachers = [teacher for _, teacher in pairs]
        assert teachers == sorted(set(teachers))
        assert teachers[-1] == 30
    with pytest.raises(InputError, match="state the pairs"):
        layer_map(5, 4)


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(InputError, match="did you mean cosine"):
        hidden_loss(states(), TEACHER, distance="cosin")
    with pytest.raises(InputError, match="give pairs"):
        hidden_loss(states()[:1], TEACHER, distance="cosine")
    with pytest.raises(InputError, match="give projections"):
        hidden_loss(states(width=D), TEACHER, distance="cosine")


@pytest.fixture
def teacher(tiny_llama, tmp_path):
    """A function that makes a live teacher with the tiny Llama's tokenizer and opens it."""

    def make(dtype=torch.float32, **sizes):
        folder = live_signal(tiny_llama, tmp_path, **sizes)
        return source.open_source(folder, dtype, torch.device("cpu"))

    return make


def matched(start, teacher, *, alpha=0.5, weight=0.7, **how):
    matching = hidden.match(Hidden(weight=weight, **how), start, teacher, seed=3)
    return Loss(Objective(alpha=alpha, chunk_tokens=16), teacher, matching)


def student(start):
    return load.causal_lm(start, torch.float32, torch.device("cpu"))


def learn(start, loss, scratch, evaluate=lambda _: 1.25, **changes):
    """Return the history, and the weights of the student and of its maps."""
    model = student(start)
    plan = schedule(**{"evaluate_every": 1, "checkpoint_every": 2} | changes)
    how = {"dtype": torch.float32, "scratch": scratch, "evaluate": measures(evaluate)}
    history = training.train(model, ROWS, loss, plan, **how)
    maps = loss.hidden.projections.state_dict() if loss.hidden.projections else {}
    return history, {**weights_of(model), **maps}


@pytest.mark.parametrize(
    ("sizes", "how"),
    [
        (WIDE, {}),
        (WIDE, {"pairs": [[1, 3]], "distance": "relative_mse"}),
        ({}, {"projection": "learned"}),
        ({}, {}),
    ],
)
def test_a_step_goes_down_the_finite_difference_of_the_whole_loss(
    tiny_llama, teacher, sizes, how, monkeypatch
):
    """In float64, over several passes; SGD with rate 1 makes the step minus the gradient."""
    monkeypatch.setattr(LlamaRMSNorm, "forward", exact_norm)
    loss = matched(tiny_llama, teacher(torch.float64, **sizes), **how)
    model = student(tiny_llama)
    loss.attach(model)
    model.double()
    model.model.embed_tokens.padding_idx = None  # its row, which ROWS read, gets no gradient
    rows = [*ROWS[:3], replace(ROWS[4], spans=((1, 4, 0.5), (4, 6, 3.0)))]
    total = sum(row.total_weight for row in rows)
    trained = checkpoints.trained(model)
    assert any(name.startswith("hidden_maps") for name in trained) == bool(sizes or how)
    before = weights_of(model)

    def at(shift, direction):
        with torch.no_grad():
            for name, weight in trained.items():
                weight.copy_(before[name] + shift * direction[name])
            return training.batch_loss(model, rows, loss, torch.float64).loss.item() / total

    plan = schedule(pass_tokens=16, clip_norm=1e9)
    optimiser = torch.optim.SGD(trained.values(), lr=1.0)

    def compute(part):
        return training.batch_loss(model, part, loss, torch.float64).columns()

    row = training._step(model, optimiser, rows, loss, compute, plan, 0)
    gradient = {name: before[name] - weight.detach() for name, weight in trained.items()}
    for seed, part in enumerate(["hidden_maps", "layers.0", "layers.1.mlp", "norm", "embed", ""]):
        torch.manual_seed(seed)
        direction = {n: torch.randn_like(w) * (part in n) for n, w in before.items()}
        length = sum(d.square().sum() for d in direction.values()).sqrt().clamp(min=1)
        slope = (at(1e-4 / length, direction) - at(-1e-4 / length, direction)) / 2e-4
        want = sum((gradient[name] * direction[name]).sum() for name in before) / length
        assert slope == pytest.approx(want.item(), rel=1e-6, abs=1e-9), part
        assert want.abs() > 1e-4 or not length > 1, part
    assert row["loss"] == pytest.approx(at(0.0, before), rel=1e-12)
    kl = 0.5 * row["ce"] + 0.5 * row["divergence"]
    assert row["loss"] == pytest.approx(kl + 0.7 * row["hidden"], rel=1e-12)


def test_the_states_are_those_of_the_models_run_alone_and_the_teacher_runs_once(
    tiny_llama, teacher, monkeypatch
):
    asked = teacher(**WIDE)
    loss = matched(tiny_llama, asked, pairs=[[1, 2], [2, 4]], projection="learned")
    model = student(tiny_llama)
    runs = []
    asked._model.register_forward_pre_hook(lambda *_: runs.append("whole"))
    asked._model.model.register_forward_pre_hook(lambda *_: runs.append("body"))
    found = training.batch_loss(model, ROWS[:3], loss, torch.float32)
    assert runs == ["body"]
    want = 0.0
    for row in ROWS[:3]:
        ids, places = torch.tensor([row.ids]), range(row.spans[0][0] - 1, row.spans[0][1] - 1)
        mine, theirs = (
            m(ids, output_hidden_states=True).hidden_states for m in (model, asked._model)
        )
        for pair, (n, m) in enumerate([(1, 2), (2, 4)]):
            mapped = loss.hidden.projections.maps[pair](mine[n][0, places])
            want += hidden.cosine(mapped, theirs[m][0, places]).sum().item() / 2
    assert found.hidden.item() == pytest.approx(want, rel=1e-5)


def test_training_brings_the_layers_nearer_and_lowers_the_loss(tiny_llama, teacher, tmp_path):
    loss = matched(tiny_llama, teacher(**WIDE))
    history, _ = learn(tiny_llama, loss, tmp_path, steps=25, checkpoint_every=0)
    assert history[-1]["hidden"] < 0.8 * history[0]["hidden"]
    assert history[-1]["loss"] < 0.9 * history[0]["loss"]


def test_without_the_teachers_distributions_the_labels_and_the_layers_are_left(
    tiny_llama, teacher, tmp_path
):
    loss = matched(tiny_llama, teacher(**WIDE), alpha=1.0)
    history, _ = learn(tiny_llama, loss, tmp_path, steps=2)
    for row in history:
        assert row["divergence"] == 0
        assert row["loss"] == pytest.approx(row["ce"] + 0.7 * row["hidden"], rel=1e-5)


def test_a_killed_training_goes_on_to_the_same_bytes_maps_included(tiny_llama, teacher, tmp_path):
    def again():
        return matched(tiny_llama, teacher(**WIDE))

    history, whole = learn(tiny_llama, again(), tmp_path / "whole")
    with pytest.raises(KilledError):
        learn(tiny_llama, again(), tmp_path / "cut", dies(4))
    resumed, weights = learn(tiny_llama, again(), tmp_path / "cut")
    assert resumed == history
    assert not [name for name in whole if name.startswith("hidden_maps")]
    assert all(torch.equal(weights[name], whole[name]) for name in whole)
    start = again().hidden.projections.state_dict()
    assert not torch.equal(start["maps.0.weight"], whole["maps.0.weight"])


def test_layers_that_are_computed_twice_are_matched_all_the_same(tiny_llama, teacher, tmp_path):
    _, kept = learn(tiny_llama, matched(tiny_llama, teacher(**WIDE)), tmp_path / "a", steps=2)
    loss = matched(tiny_llama, teacher(**WIDE))
    _, twice = learn(tiny_llama, loss, tmp_path / "b", steps=2, gradient_checkpointing=True)
    assert all(torch.equal(twice[name], kept[name]) for name in kept)


@pytest.mark.parametrize(
    ("how", "named"),
    [
        ({"pairs": [[3, 1]]}, r"\[3, 1\]: the student .* has 2 layers, its teacher 4"),
        ({"pairs": [[1, 5]]}, r"\[1, 5\]"),
        ({"projection": "none"}, r"width is 64, the teacher's 96: take auto or learned"),
    ],
)
def test_layers_and_widths_that_do_not_fit_are_refused(tiny_llama, teacher, how, named):
    with pytest.raises(InputError, match=named):
        matched(tiny_llama, teacher(**WIDE), **how)
