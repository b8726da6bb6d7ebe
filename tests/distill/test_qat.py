"""Training with rounded weights: gradients, the switch, what is kept, watched and delivered.

That it is worth its steps on a real student is measured, not tested: `presets/qat.yaml`.
"""

import copy

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from potstill import int8
from potstill.distill import qat, training
from potstill.errors import InputError
from potstill.export import build
from potstill.loading import load
from potstill.models import checkpoint
from pydantic import ValidationError
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from tests.distill.references import exact_norm
from tests.distill.runs import LABELS, ROWS, KilledError, schedule, weights_of

CPU = torch.device("cpu")
FEW = ROWS[:4]
TOTAL = sum(row.total_weight for row in FEW)


def plan(*, rounding=(), **changes):
    how = {"quantisation": "int8_channel", "after": 0.5, "min_cosine": 0.0, **dict(rounding)}
    return schedule(**{"qat": how, "evaluate_every": 1, "pass_tokens": 16, **changes})


def watched(dies_at=None):
    """Return an evaluation that tells of the layers; it stops the run when it is asked so often."""
    asked = []

    def evaluate(model):
        asked.append(1)
        if len(asked) == dies_at:
            raise KilledError
        return {"validation_nll": 1.25, **qat.watch(model, ROWS[:3])}

    return evaluate


def learn(model, how, scratch, dies_at=None):
    history = training.train(
        model, ROWS, LABELS, how, dtype=torch.float32, scratch=scratch, evaluate=watched(dies_at)
    )
    return history, weights_of(model)


def loss_of(model, rows=FEW):
    with torch.no_grad():
        sums = training.batch_loss(model, rows, LABELS, next(model.parameters()).dtype)
    return sums.loss.item() / sum(row.total_weight for row in rows)


def matrices(model):
    chosen = {id(weight) for weight in qat.matrices(model)}
    return {name: w for name, w in model.named_parameters() if id(w) in chosen}


def step(model, how, at=5):
    """Make one step by SGD with rate 1; return its losses, and the gradient as what it took off."""
    before, optimiser = weights_of(model), torch.optim.SGD(model.parameters(), lr=1.0)
    dtype = next(model.parameters()).dtype

    def compute(part):
        return training.batch_loss(model, part, LABELS, dtype).columns()

    row = training._step(model, optimiser, FEW, LABELS, compute, how, at)
    return row, {name: before[name] - weight for name, weight in weights_of(model).items()}


@pytest.fixture(params=["llama", "llama2"], ids=["tied", "untied"])
def either(request, tiny_checkpoint):
    model = load.causal_lm(tiny_checkpoint(request.param), torch.float32, CPU)
    model.model.embed_tokens.padding_idx = None  # its row, which ROWS read, gets no gradient
    return model


def test_layers_and_head_are_rounded_and_nothing_else(either):
    names = set(matrices(either))
    tied = either.config.tie_word_embeddings
    assert ("model.embed_tokens.weight" in names) == tied
    assert ("lm_head.weight" in names) != tied
    layers = {name for name, w in either.named_parameters() if w.ndim == 2 and "layers" in name}
    assert layers < names
    assert len(names) == len(layers) + 1 == 15
    before = weights_of(either)
    with qat.rounded(either):
        for name, weight in either.named_parameters():
            want = int8.rounded(before[name]) if name in names else before[name]
            assert torch.equal(weight, want)
            assert torch.equal(weight, before[name]) != (name in names)
    assert all(torch.equal(weight, before[name]) for name, weight in weights_of(either).items())


def test_the_gradient_is_the_finite_difference_at_the_rounded_weights(either, monkeypatch):
    """In float64: of the loss when one matrix moves off its grid, the largest of a row among it.

    That is what straight-through means here: rounding counts as a constant that is added, and a
    scale as given, also for the weight that sets it.
    """
    monkeypatch.setattr(LlamaRMSNorm, "forward", exact_norm)
    model = either.double()
    floats, moved = copy.deepcopy(model), copy.deepcopy(model)
    row, gradient = step(model, plan(clip_norm=1e9))
    for weight in qat.matrices(moved):
        weight.data = int8.rounded(weight.data)
    assert row["loss"] == pytest.approx(loss_of(moved), rel=1e-12)
    assert row["loss"] != pytest.approx(loss_of(floats), rel=1e-6)
    torch.manual_seed(0)
    for name, weight in moved.named_parameters():
        directions = [torch.randn_like(weight)]
        if name in matrices(moved):
            line = gradient[name].abs().amax(1).argmax()
            largest = floats.get_parameter(name)[line].abs().argmax()
            directions.append(torch.zeros_like(weight))
            directions[1][line, largest] = 1.0
        for direction in (one / one.norm() for one in directions):
            kept, found = weight.detach().clone(), []
            for shift in (1e-4, -1e-4):
                weight.data = kept + shift * direction
                found.append(loss_of(moved))
            weight.data = kept
            want = (gradient[name] * direction).sum().item()
            assert (found[0] - found[1]) / 2e-4 == pytest.approx(want, rel=1e-6, abs=1e-9), name


def test_the_gradient_is_that_of_autograd_through_torchs_fake_quantiser(either):
    """Which stands in the graph of every pass there, and in none here."""

    class Fake(torch.nn.Module):
        def forward(self, weight):
            scale = weight.detach().abs().amax(1) / 127
            zero = torch.zeros(len(weight), dtype=torch.int32)
            return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -127, 127)

    other = copy.deepcopy(either)
    tied = either.config.tie_word_embeddings
    rounds = [m for m in other.modules() if isinstance(m, torch.nn.Linear)]
    for module in [*rounds, other.model.embed_tokens] if tied else rounds:
        torch.nn.utils.parametrize.register_parametrization(module, "weight", Fake())
    training.batch_loss(other, FEW, LABELS, torch.float32).loss.backward()
    want = {
        name.replace(".parametrizations.weight.original", ".weight"): weight.grad / TOTAL
        for name, weight in other.named_parameters()
    }
    _, gradient = step(either, plan(clip_norm=1e9))
    for name, found in gradient.items():
        torch.testing.assert_close(found, want[name], rtol=1e-3, atol=1e-6)


def test_it_begins_after_a_share_of_the_steps_at_a_share_of_the_rate(model, tmp_path):
    other, on = copy.deepcopy(model), []
    layer = model.model.layers[1].mlp.down_proj

    def look(module, *_):
        on.append(torch.allclose(module.weight, int8.rounded(module.weight), rtol=1e-6, atol=0))

    hook = layer.register_forward_pre_hook(look)
    history, weights = learn(model, plan(evaluate_every=0), tmp_path / "a")
    hook.remove()
    plain, _ = learn(other, plan(evaluate_every=0, qat=None), tmp_path / "b")
    assert on == sorted(on)
    assert len(on) == 2 * sum(on) > 6  # several passes a step
    assert history[:3] == plain[:3]
    for row, same in zip(history[3:], plain[3:], strict=True):
        assert row["lr"] == pytest.approx(0.1 * same["lr"], rel=1e-12)
        assert row["loss"] != same["loss"]
    for name in matrices(model):  # the float weights go on
        assert not torch.allclose(weights[name], int8.rounded(weights[name]), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("after", "steps", "first"), [(0.0, 6, 0), (0.8, 16, 12), (0.29, 100, 29), (0.99, 3, 2)]
)
def test_the_first_step_that_rounds(after, steps, first):
    how = plan(steps=steps, rounding={"after": after})
    assert [qat.is_on(how, step) for step in range(steps)] == [n >= first for n in range(steps)]


@pytest.mark.parametrize("stop_at", [2, 3, 4, 5])
def test_a_killed_run_goes_on_across_the_switch_to_the_same_bytes(model, tmp_path, stop_at):
    other, fresh = copy.deepcopy(model), copy.deepcopy(model)
    how = plan(checkpoint_every=1)
    whole_history, whole = learn(model, how, tmp_path / "whole")
    with pytest.raises(KilledError):
        learn(other, how, tmp_path / "cut", dies_at=stop_at)
    history, weights = learn(fresh, how, tmp_path / "cut")
    assert history == whole_history
    assert all(torch.equal(weights[name], whole[name]) for name in whole)


def test_zeros_stay_and_what_rounds_to_zero_still_learns(model, tmp_path):
    for weight in qat.matrices(model):
        weight.data[weight.abs() < weight.abs().median()] = 0
        weight.data[:, 3] = 1e-5
    before = weights_of(model)
    how = plan(keep_zeros=True, weight_decay=0.1, rounding={"after": 0.0, "rate": 1.0})
    _, after = learn(model, how, tmp_path)
    for name in matrices(model):
        assert torch.equal(after[name] == 0, before[name] == 0)
        assert (int8.integers(before[name])[0][:, 3] == 0).all()
        assert (after[name][:, 3] != before[name][:, 3]).any()
        assert (int8.integers(after[name])[0][before[name] == 0] == 0).all()


def test_layers_are_compared_with_those_of_the_float_weights(model):
    """By hand: a copy whose matrices are rounded, each row alone."""
    other = copy.deepcopy(model)
    for weight in qat.matrices(other):
        weight.data = int8.rounded(weight.data)
    cosines = []
    for number in (1, 2):
        found = []
        for row in ROWS[:3]:
            a, b = (
                m(torch.tensor([row.ids]), output_hidden_states=True).hidden_states[number][0]
                .double().detach().numpy() for m in (model, other)
            )  # fmt: skip
            found += list((a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))
        cosines.append(np.mean(found))
    # ROWS have no beginning in common, so the line has every token of each
    assert qat.watch(model, ROWS[:3])["layer_cosine"] == pytest.approx(min(cosines), abs=1e-9)
    assert 0.99 < min(cosines) < 1 - 1e-6
    assert qat.watch(other, ROWS[:3])["layer_cosine"] == pytest.approx(1, abs=1e-9)


def test_a_training_whose_layers_drift_ends_there(model, tmp_path):
    how = plan(rounding={"min_cosine": 1 - 1e-9}, checkpoint_every=1)
    with pytest.raises(
        InputError, match=r"^step 4: .*cosine of 0\.99\d+ .*qat\.min_cosine is 0\.9"
    ):
        learn(model, how, tmp_path)
    with pytest.raises(InputError, match=r"^step 6: .*lower qat\.rate or learning_rate"):
        qat.deliver(model, ROWS[:3], how)
    model.model.layers[0].mlp.up_proj.weight.data[1, 2] = float("nan")
    found = qat.watch(model, ROWS[:3])
    with pytest.raises(InputError, match=r"step 5: .*cosine of nan"):
        qat.require(found, plan(), 5)
    qat.require(found, plan(), 3)  # not yet


def stored(graph, name):
    (tensor,) = (t for t in graph.initializer if t.name == name)
    return numpy_helper.to_array(tensor)


def test_the_file_holds_the_integers_that_training_rounded_to(either, tiny_checkpoint, tmp_path):
    """Of every matrix: those of the float weights, although the rounded ones are delivered."""
    family = "llama" if either.config.tie_word_embeddings else "llama2"
    _, floats = learn(either, plan(evaluate_every=0), tmp_path / "s")
    want = sorted(
        (int8.integers(floats[name]) for name in matrices(either)),
        key=lambda pair: pair[0].numpy().tobytes(),
    )
    qat.deliver(either, ROWS[:3], plan())
    start = tiny_checkpoint(family)
    state = {name: w.detach() for name, w in either.named_parameters()}
    checkpoint.write(tmp_path / "c", state, checkpoint.read_config(start), beside=start)
    build.build(tmp_path / "c", tmp_path / "a", format="onnx", quantisation="int8_channel")
    graph = onnx.load(str(tmp_path / "a/model.onnx")).graph
    found = []
    for node in graph.node:
        if node.op_type == "MatMulNBits":
            inputs = next(a.i for a in node.attribute if a.name == "K")
            codes, scales = (stored(graph, name) for name in node.input[1:3])
            flat = codes.reshape(len(codes), -1)
            assert (flat[:, inputs:] == 128).all()
            spread = scales.reshape(len(codes), -1)
            assert (spread == spread[:, :1]).all()
            found.append((flat[:, :inputs].astype(np.int16) - 128, spread[:, 0]))
    found.sort(key=lambda pair: pair[0].astype(np.int8).tobytes())
    assert len(found) == len(want) == 15
    for (integers, scale), (wanted, wanted_scale) in zip(found, want, strict=True):
        assert np.array_equal(integers, wanted.numpy())
        np.testing.assert_allclose(scale, wanted_scale.numpy(), rtol=2**-22)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_where_rounding_costs_much_it_ends_below_rounding_afterwards(tiny_llama, tmp_path, seed):
    """Steps, rows and rates are the same; each row has one weight of 30 times its size."""
    found = {}
    for name, changes in {"after": {"qat": None}, "qat": {"rounding": {"rate": 1.0}}}.items():
        model = load.causal_lm(tiny_llama, torch.float32, CPU)
        torch.manual_seed(seed)
        for weight in qat.matrices(model):
            weight.data[
                torch.arange(len(weight)), torch.randint(weight.shape[1], (len(weight),))
            ] *= 30
        how = plan(
            steps=40, seed=seed, evaluate_every=0, checkpoint_every=0, weight_decay=0.0,
            pass_tokens=1024, **changes,
        )  # fmt: skip
        learn(model, how, tmp_path / name)
        floats = loss_of(model, ROWS)
        with qat.rounded(model):
            found[name] = loss_of(model, ROWS), floats
    assert found["qat"][0] < found["after"][0]
    assert found["qat"][0] < found["qat"][1]
    assert found["after"][0] > found["after"][1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adapter": {"kind": "vectors"}}, "adapter freezes them: leave one of the two out"),
        ({"patience": 2}, "end the training before qat begins: leave one of the two out"),
        ({"rounding": {"quantisation": "q4_0"}}, "int8_channel"),
        ({"rounding": {"after": 1.0}}, "less than 1"),
        ({"rounding": {"after": -0.1}}, "greater than or equal to 0"),
        ({"rounding": {"rate": 0.0}}, "greater than 0"),
        ({"rounding": {"min_cosine": 1.0}}, "less than 1"),
        ({"rounding": {"enable": True}}, "enable"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, message):
    with pytest.raises(ValidationError, match=message):
        plan(**changes)
