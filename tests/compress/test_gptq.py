"""Codes in ggml's blocks, chosen so that errors undo each other; the file holds just these."""

import itertools
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from potstill import gguf_names
from potstill.compress import gptq, grids
from potstill.compress.recipe import Compression
from potstill.compress.second_order import error
from potstill.compress.work import Work
from potstill.errors import InputError
from potstill.export import build
from potstill.hints import blocks, tensor_types
from potstill.models import checkpoint
from potstill.models.gguf_header import read_header
from potstill.students import rounding

from tests import gguf_files
from tests.tiny_models import CASES

COMMON = {"checkpoint": "c", "calibration_rows": 6, "batch_rows": 4, "threads": 2, "seed": 0}


def matrix(rows=6, columns=512, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, (rows, columns)).astype(np.float32)


@pytest.mark.parametrize("kind", grids.KINDS)
def test_codes_stand_for_what_ggml_reads(kind):
    """Every code in every place, read back by the gguf package."""
    found = grids.grid(matrix(), kind)
    generator = np.random.default_rng(1)
    codes = generator.integers(0, len(found.level_L), found.scale_RX.shape, dtype=np.uint8)
    want = found.offset_RX + found.scale_RX * found.level_L[codes]
    got = blocks.values(found.with_codes(codes), kind)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", grids.KINDS)
def test_nearest_codes_lose_no_more_than_ggmls(kind):
    values = matrix()
    found = grids.grid(values, kind)
    levels = found.offset_RX[..., None] + found.scale_RX[..., None] * found.level_L
    nearest = np.abs(levels - values[..., None]).argmin(-1)
    own = np.abs(blocks.values(found.with_codes(nearest), kind) - values)
    theirs = np.abs(rounding.round_trip(values, kind) - values)
    assert (own <= theirs + 1e-6).all()


def test_inputs_that_have_nothing_to_do_with_each_other_are_rounded_to_the_nearest():
    values = matrix(columns=64)
    found = grids.grid(values, "Q4_0")
    squares = torch.diag(torch.rand(64) + 0.1)
    codes = gptq.choose(torch.from_numpy(values), squares, found, 0.01)
    levels = found.offset_RX[..., None] + found.scale_RX[..., None] * found.level_L
    assert (codes == np.abs(levels - values[..., None]).argmin(-1)).mean() > 0.999  # ties apart


@pytest.mark.parametrize("kind", grids.KINDS)
def test_errors_undo_each_other_where_inputs_go_together(kind):
    values = torch.from_numpy(matrix(columns=256))
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(2000, 20, generator=generator) @ torch.randn(20, 256, generator=generator)
    inputs += 0.1 * torch.randn(2000, 256, generator=generator) + 1  # and a mean
    product = inputs.T @ inputs / 2000
    found = grids.grid(values.numpy(), kind)
    codes = gptq.choose(values, product, found, 0.01)
    made = torch.from_numpy(blocks.values(found.with_codes(codes), kind))
    plain = torch.from_numpy(blocks.values(found.blocks_Rn, kind))
    assert error(values, made, product) < 0.4 * error(values, plain, product)
    want = ((inputs @ (values - made).T) ** 2).sum(1).mean()
    assert error(values, made, product) == pytest.approx(want.item(), rel=1e-3)


def test_codes_are_those_of_llmcompressor():
    """Its own GPTQ on the grid of Q4_0: four bits, a scale for each 32, most used inputs first."""
    from compressed_tensors.quantization import QuantizationArgs
    from llmcompressor.modifiers.gptq.gptq_quantize import quantize_weight

    values = torch.from_numpy(matrix(rows=24, columns=320))
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(3000, 40, generator=generator) @ torch.randn(40, 320, generator=generator)
    inputs += torch.randn(3000, 320, generator=generator)
    product = inputs.T @ inputs / 3000
    found = grids.grid(values.numpy(), "Q4_0")
    codes = gptq.choose(values, product, found, 0.01)
    own = torch.from_numpy(blocks.values(found.with_codes(codes), "Q4_0"))
    scales = torch.from_numpy(found.scale_RX[:, ::32])[None]
    how = QuantizationArgs(
        num_bits=4, type="int", symmetric=True, strategy="group", group_size=32, actorder="weight"
    )
    theirs, _, _ = quantize_weight(
        values[None].clone(), product[None].clone(), scales, torch.zeros_like(scales), None, how
    )
    assert torch.isclose(own, theirs[0], atol=1e-5).float().mean() > 0.99  # rounding apart
    lost = error(values, own, product)
    assert lost == pytest.approx(error(values, theirs[0], product), rel=0.02)
    plain = torch.from_numpy(blocks.values(found.blocks_Rn, "Q4_0"))
    assert lost < 0.5 * error(values, plain, product)


def test_few_columns_are_near_the_best_of_all_choices():
    """Every choice of the last five codes of a row, the others as they are."""
    generator = torch.Generator().manual_seed(3)
    values = torch.from_numpy(matrix(rows=1, columns=32, seed=3))
    inputs = torch.randn(400, 3, generator=generator) @ torch.randn(3, 32, generator=generator)
    inputs += 0.3 * torch.randn(400, 32, generator=generator)
    product = inputs.T @ inputs / 400
    found = grids.grid(values.numpy(), "Q4_0")
    codes = gptq.choose(values, product, found, 1e-4)
    own = error(values, torch.from_numpy(blocks.values(found.with_codes(codes), "Q4_0")), product)
    last = torch.argsort(product.diagonal(), descending=True, stable=True)[-5:].tolist()
    tried = []
    for steps in itertools.product((-1, 0, 1), repeat=5):
        other = codes.astype(int)
        other[0, last] = np.clip(other[0, last] + steps, 0, 15)
        made = blocks.values(found.with_codes(other.astype(np.uint8)), "Q4_0")
        tried.append(error(values, torch.from_numpy(made), product))
    assert own <= 1.5 * min(tried)


@pytest.fixture
def work(tiny_checkpoint, tokens, tmp_path):
    """Return a function that rounds a tiny model."""

    def make(family, quantisation):
        (tmp_path / "scratch").mkdir(exist_ok=True)
        recipe = Compression(**COMMON, method={"kind": "gptq", "quantisation": quantisation})
        out = tmp_path / f"out-{family}-{quantisation}"
        return Work(recipe, tiny_checkpoint(family), tokens, out, tmp_path / "scratch")

    return make


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "quantisation"),
    [*((f, "q4_0") for f in CASES), ("qwen2", "iq4_nl"), ("llama", "q4_k_m")],
)
def test_the_file_holds_the_checkpoints_weights_to_the_bit(family, quantisation, work, tmp_path):
    made = work(family, quantisation)
    metrics = gptq.compress(made)
    assert metrics["lost_share"] < metrics["lost_share_plain"]
    build.build(made.out, tmp_path / "a", format="gguf", quantisation="stated")
    config, types = checkpoint.read_config(made.out), tensor_types.read(made.out)
    stored = gguf_files.stored(tmp_path / "a/model.gguf", config)
    held = blocks.read(made.out)
    for name, weight in checkpoint.read_state(made.out).items():
        kind, values = stored[name]
        if weight.ndim == 2:
            assert kind == types[name]
            assert (name in held) == (kind in grids.KINDS)
        np.testing.assert_array_equal(weight.numpy(), values, err_msg=name)


@pytest.mark.parametrize(
    ("quantisation", "named"), [("bf16", "nothing is rounded: take q4_0"), ("q4_9", "did you mean")]
)
def test_what_rounds_nothing_is_refused(quantisation, named, work):
    with pytest.raises(InputError, match=named):
        gptq.compress(work("llama", quantisation))


def test_it_goes_on_from_types_that_were_chosen(work, tiny_llama, tmp_path):
    made = work("llama", "stated")
    with pytest.raises(InputError, match="says nothing of its matrices' types"):
        gptq.compress(made)
    source = shutil.copytree(tiny_llama, tmp_path / "source")
    shapes = {n: s for n, s in checkpoint.shapes(source).items() if len(s) == 2}
    types = {name: ("Q4_0", "Q8_0")[number % 2] for number, name in enumerate(sorted(shapes))}
    tensor_types.write(source, types)
    gptq.compress(replace(made, source=source))
    assert tensor_types.read(made.out) == types
    build.build(made.out, tmp_path / "a", format="gguf", quantisation="stated")
    stored = {t.name: t.type.name for t in read_header(tmp_path / "a/model.gguf").tensors}
    assert {name: stored[gguf_names.named(name)] for name in types} == types


def test_blocks_of_another_checkpoint_are_refused(work, tiny_llama, tmp_path):
    made = work("llama", "q4_0")
    gptq.compress(made)
    held = blocks.read(made.out)
    name = "model.layers.0.mlp.down_proj.weight"
    blocks.write(made.out, {name: held[name][:, :-18]})
    with pytest.raises(InputError, match="are not of its type: make it again"):
        build.build(made.out, tmp_path / "a", format="gguf", quantisation="stated")
    blocks.write(made.out, {"no.weight": held[name]})
    with pytest.raises(InputError, match="is not of this checkpoint: make it again"):
        build.build(made.out, tmp_path / "b", format="gguf", quantisation="stated")
