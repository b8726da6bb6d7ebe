"""Scales of blocks: what a file of that type keeps is trained, and all of it."""

import numpy as np
import pytest
import torch
from potstill.distill import adapters, checkpoints, training
from potstill.distill.adapters import scales as kind_scales
from potstill.distill.objective import Objective
from potstill.distill.start import Start
from potstill.distill.training import Loss
from potstill.errors import InputError
from potstill.export import build
from potstill.hints import blocks, importance, scales, tensor_types
from potstill.loading import load
from potstill.logits import caching, live, source
from potstill.logits.store import LIVE
from potstill.models import checkpoint
from potstill.students import rounding, sizes
from torch.nn import functional

from tests import gguf_files
from tests.compress.test_gptq import matrix
from tests.distill.runs import ROWS, KilledError, dies, run, schedule

CPU = torch.device("cpu")
SCALES = {"kind": "scales"}


def blocked(folder, out, kind):
    """Write a checkpoint whose matrices are rounded to a type, where their rows allow it."""
    state, types, made = checkpoint.read_state(folder), {}, {}
    for name, weight in state.items():
        if weight.ndim != 2:
            continue
        fits = weight.shape[1] % sizes.TYPES[kind][0] == 0
        types[name] = kind if fits else "F16"
        if fits:
            made[name] = rounding.quantised(weight.float().numpy(), kind)
            state[name] = torch.from_numpy(blocks.values(made[name], kind))
        else:
            state[name] = weight.half().float()
    checkpoint.write(out, state, checkpoint.read_config(folder), beside=folder)
    tensor_types.write(out, types)
    importance.write(out, {})
    blocks.write(out, made)
    return out


@pytest.fixture
def start(tiny_checkpoint, tmp_path):
    """A tiny model with biases in blocks of Q4_0."""
    return blocked(tiny_checkpoint("qwen2"), tmp_path / "start", "Q4_0")


def model_of(folder, dtype=torch.float32):
    plan = schedule(adapter=SCALES, precision=str(dtype).removeprefix("torch."))
    return Start.of(folder, plan).model()


def moved(model):
    with torch.no_grad():
        for weight in checkpoints.trained(model).values():
            waves = torch.arange(weight.numel()).reshape(weight.shape).cos()
            weight.mul_(1.1 + 0.05 * waves)


def logits(model, dtype=torch.float32):
    ids = torch.tensor([ROWS[4].ids, ROWS[9].ids[::-1]])
    with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        return model.eval()(ids).logits.float()


@pytest.mark.parametrize("kind", scales.PLACES)
def test_a_block_is_the_sum_of_its_half_floats_times_their_parts(kind):
    made = rounding.quantised(matrix(), kind)
    halves, parts = scales.read(made, kind), scales.parts(made, kind)
    whole = (halves[..., None] * parts).sum(0).reshape(6, 512)
    held = blocks.values(made, kind)
    np.testing.assert_allclose(whole, held, rtol=1e-5, atol=1e-6 * np.abs(held).max())
    assert np.array_equal(scales.write(made, kind, halves), made)
    twice = scales.write(made, kind, 2 * halves)
    np.testing.assert_allclose(blocks.values(twice, kind), 2 * held, rtol=1e-6)
    assert (twice != made).sum() <= 2 * halves.size  # its bytes alone


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_K", "Q6_K", "IQ4_XS"])
def test_gradients_are_those_of_the_matrix_written_out(kind):
    made = rounding.quantised(matrix(), kind)
    linear = torch.nn.Linear(512, 6)
    layer = kind_scales.Blocked(linear, made, kind)
    with torch.no_grad():
        layer.scale_factors.mul_(1 + 0.1 * torch.rand_like(layer.scale_factors))
    x = torch.randn(2, 3, 512, requires_grad=True)
    y = torch.randn(2, 3, 6)
    (layer(x) * y).sum().backward()
    parts = torch.from_numpy(scales.parts(made, kind)).double()
    factors = layer.scale_factors.detach().double().requires_grad_()
    halves = torch.from_numpy(scales.read(made, kind)).double()
    weight = ((factors * halves)[..., None] * parts).sum(0).flatten(1)
    x64 = x.detach().double().requires_grad_()
    (functional.linear(x64, weight, linear.bias.detach().double()) * y).sum().backward()
    torch.testing.assert_close(
        layer.scale_factors.grad.double(), factors.grad, rtol=1e-3, atol=1e-4
    )
    torch.testing.assert_close(x.grad.double(), x64.grad, rtol=1e-3, atol=1e-4)


def test_norms_biases_and_scales_are_trained_and_no_code(start):
    model = model_of(start, torch.bfloat16)
    trained = checkpoints.trained(model)
    factors = {name for name in trained if name.endswith(".scale_factors")}
    assert len(factors) == sum(".layers." in name for name in blocks.read(start))
    shapes = checkpoint.shapes(start)
    own = {name.replace(".base_layer.", ".") for name in trained.keys() - factors}
    assert own == {name for name, shape in shapes.items() if len(shape) == 1}
    kept = sum(p.numel() for n, p in model.named_parameters() if n.endswith("base_layer.weight"))
    assert kept == 0  # nothing is in memory twice


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_the_merged_model_is_the_adapted_one_and_goes_on(start, dtype):
    model = model_of(start, dtype)
    before = logits(model, dtype)
    adapters.merge(model, start, CPU)
    again = load.causal_lm(start, torch.float32, CPU).state_dict()
    whole = adapters.weights(model)
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    adapters.unmerge(model, start, CPU, dtype)
    assert torch.equal(logits(model, dtype), before)
    moved(model)
    wanted = logits(model, dtype)
    adapters.merge(model, start, CPU)
    near = 2e-3 if dtype == torch.float32 else 0.06  # half floats; products
    assert (logits(model) - wanted).abs().max() < near * wanted.abs().max()
    assert (logits(model) - before).abs().max() > 4 * near * wanted.abs().max()


@pytest.mark.parametrize("kind", ["Q4_0", "Q8_0", "Q4_1", "IQ4_NL"])
def test_the_file_holds_what_was_trained_to_the_bit(tiny_checkpoint, tmp_path, kind):
    folder = blocked(tiny_checkpoint("qwen2"), tmp_path / "start", kind)
    begin = Start.of(folder, schedule(adapter=SCALES))
    model = begin.model()
    moved(model)
    begin.save(begin.exact(model), tmp_path / "student", [])
    build.build(tmp_path / "student", tmp_path / "file", format="gguf", quantisation="stated")
    config = checkpoint.read_config(folder)
    stored = gguf_files.stored(tmp_path / "file/model.gguf", config)
    was = checkpoint.read_state(folder)
    for name, weight in checkpoint.read_state(tmp_path / "student").items():
        np.testing.assert_array_equal(weight.numpy(), stored[name][1], err_msg=name)
        trained = weight.ndim == 1 or (".layers." in name and name in blocks.read(folder))
        assert torch.equal(weight, was[name].float()) != trained, name
    adapters.apply(tmp_path / "student/adapter", folder, tmp_path / "again")
    for name in ("model.safetensors", blocks.NAME, tensor_types.NAME, importance.NAME):
        assert (tmp_path / "again" / name).read_bytes() == (
            tmp_path / "student" / name
        ).read_bytes()


def test_a_rounded_student_comes_nearer_to_what_it_was(tiny_checkpoint, start, tmp_path):
    """KL to the model before it was rounded; training on labels is no help in that."""
    live.write(
        tmp_path / "live", caching.describe(tiny_checkpoint("qwen2"), codec=LIVE, k=0, seed=0)
    )
    teacher = source.open_source(tmp_path / "live", torch.float32, CPU)
    loss = Loss(Objective("forward_kl", alpha=0.0, temperature=1.0, chunk_tokens=16), teacher)
    recipe = schedule(adapter=SCALES, steps=30, learning_rate=3e-3, warmup_steps=2)
    model = model_of(start)
    history = training.train(model, ROWS, loss, recipe, dtype=torch.float32,
                             scratch=tmp_path, evaluate=lambda _: {})  # fmt: skip
    divergence = [row["divergence"] for row in history]
    assert np.mean(divergence[-3:]) < 0.6 * np.mean(divergence[:3])


def test_a_killed_run_goes_on_to_the_same_bytes(start, tmp_path):
    recipe = schedule(adapter=SCALES, evaluate_every=1)
    history, whole = run(model_of(start), recipe, tmp_path / "whole")
    with pytest.raises(KilledError):
        run(model_of(start), recipe, tmp_path / "cut", evaluate=dies(5))
    again, weights = run(model_of(start), recipe, tmp_path / "cut")
    assert again == history
    assert all(torch.equal(weights[name], whole[name]) for name in whole)


def test_factors_do_not_decay(start, tmp_path):
    recipe = schedule(adapter=SCALES, weight_decay=50.0, learning_rate=1e-3)
    _, weights = run(model_of(start), recipe, tmp_path)
    factors = torch.cat([w.flatten() for n, w in weights.items() if n.endswith("scale_factors")])
    assert (factors - 1).abs().mean() < 0.01


def test_a_start_without_blocks_is_refused(tiny_llama):
    with pytest.raises(InputError, match="has no blocks of codes: let it start from a student of"):
        model_of(tiny_llama)


def test_labels_are_learnt_too(start, tmp_path):
    history, _ = run(
        model_of(start), schedule(adapter=SCALES, steps=12, learning_rate=0.01), tmp_path
    )
    assert history[-1]["loss"] < history[0]["loss"]
