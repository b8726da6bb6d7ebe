"""What llmcompressor rounds: the checkpoint has the weights that its packed folder stands for.

Not tested: that vLLM loads the folder; a GPU.
"""

import shutil
from typing import get_args

import numpy as np
import pytest
import torch
from potstill import runtime
from potstill.compress import layers, oneshot
from potstill.compress.recipe import Compression, Oneshot
from potstill.compress.work import Work
from potstill.errors import InputError
from potstill.export import build
from potstill.hints import packed
from potstill.loading import load
from potstill.models import checkpoint, families
from potstill.tokens import packing

from tests.tiny_models import CASES

COMMON = {"checkpoint": "c", "calibration_rows": 6, "batch_rows": 4, "threads": 2, "seed": 0}
SCHEMES = get_args(Oneshot.model_fields["scheme"].annotation)
IDS = [3, 77, 12, 401, 9, 9, 250, 31, 8]


@pytest.fixture
def work(tiny_checkpoint, tokens, tmp_path):
    """Return a function that gives a tiny model to the method."""

    def make(family, scheme, source=None, **settings):
        scratch = tmp_path / f"scratch-{family}-{scheme}"
        scratch.mkdir(exist_ok=True)
        how = {"kind": "oneshot", "scheme": scheme, "group": 32, **settings}
        recipe = Compression(**COMMON, method=how)
        out = tmp_path / f"out-{family}-{scheme}"
        return Work(recipe, source or tiny_checkpoint(family), tokens, out, scratch)

    return make


def as_transformers_reads(folder):
    """Return the weights of a packed folder, as a user loads it."""
    from transformers import AutoModelForCausalLM, CompressedTensorsConfig

    how = CompressedTensorsConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", quantization_config=how)
    return model, dict(model.named_parameters())


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_codes_are_chosen_for_the_inputs_that_the_model_has(family, work):
    """Layer after layer, against its own function on what the rounded layers before really give."""
    from compressed_tensors.quantization import QuantizationArgs
    from llmcompressor.modifiers.gptq.gptq_quantize import quantize_weight

    made = work(family, "gptq_w4a16", group=16)
    oneshot.compress(made)
    saved, model = checkpoint.read_state(made.out), made.model()
    stored = checkpoint.read_state(made.out / packed.NAME)
    how = QuantizationArgs(
        num_bits=4, type="int", symmetric=True, strategy="group", group_size=16, actorder="weight"
    )
    alike = {}
    alone = [packing.pack([row]) for row in made.rows]
    with torch.inference_mode():
        for matrices, product in layers.products(model, alone):
            for name, weight in matrices.items():
                scales = stored[f"{name}_scale"].float()[None]
                own, _, _ = quantize_weight(
                    weight[None].clone(), product[None].clone(), scales,
                    torch.zeros_like(scales), None, how,
                )  # fmt: skip
                alike[name] = torch.isclose(own[0], saved[name], atol=1e-6).float().mean().item()
            if any("down_proj" in name for name in matrices):  # it rounds a layer as a whole
                for name, weight in model.named_parameters():
                    if name in alike:
                        weight.copy_(saved[name])
    assert min(alike.values()) > 0.97, alike


OTHERS = [pytest.param(family, scheme, marks=pytest.mark.slow) for family in CASES
          for scheme in ("awq_w4a16", "smoothquant_w8a8") if family != "llama"]  # fmt: skip


@pytest.mark.parametrize(
    ("family", "scheme"), [*(("llama", scheme) for scheme in SCHEMES), *OTHERS]
)
def test_the_checkpoint_has_the_weights_that_are_packed(family, scheme, work):
    made = work(family, scheme)
    metrics = oneshot.compress(made)
    _, want = as_transformers_reads(made.out / packed.NAME)
    state = checkpoint.read_state(made.out)
    for name, weight in state.items():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, want[name]), name
    config = checkpoint.read_config(made.out)
    assert config == checkpoint.read_config(made.source)
    assert ("lm_head.weight" in state) == (not families.is_tied(config))
    assert state.keys() == checkpoint.shapes(made.source).keys()
    assert packed.read(made.out) == made.out / packed.NAME
    assert metrics["group"] == (32 if scheme.endswith("w4a16") else 0)
    bits = 4 if scheme.endswith("w4a16") else 8
    for name, weight in state.items():
        if weight.ndim == 2 and ".layers." in name:
            groups = weight.view(len(weight), -1, 32 if bits == 4 else weight.shape[1])
            assert max(len(group.unique()) for row in groups for group in row) <= 2**bits


@pytest.mark.parametrize(("scheme", "bits"), [("rtn_w4a16", 4), ("rtn_w8a8", 8)])
def test_the_control_rounds_each_weight_to_the_nearest_step(scheme, bits, work):
    """Steps reach from the largest of a group to its negative."""
    made = work("llama", scheme)
    oneshot.compress(made)
    before, after = checkpoint.read_state(made.source), checkpoint.read_state(made.out)
    for name, weight in before.items():
        if weight.ndim == 1 or ".layers." not in name:
            assert torch.equal(after[name], weight)
            continue
        groups = len(weight), -1, 32 if bits == 4 else weight.shape[1]
        exact, found = weight.double().view(groups), after[name].double().view(groups)
        step = exact.abs().amax(-1, keepdim=True) * 2 / (2**bits - 1)
        codes = (found / step).round()
        assert (found / step - codes).abs().max() < 1e-4
        assert -(2 ** (bits - 1)) <= codes.min() <= codes.max() < 2 ** (bits - 1)
        assert ((found - exact).abs() / step).max() < 0.5 + 1e-4


def test_gptq_loses_less_than_rounding_to_the_nearest(work):
    lost = {scheme: oneshot.compress(work("llama", scheme))["lost_share"]
            for scheme in ("rtn_w4a16", "gptq_w4a16", "rtn_w8a8")}  # fmt: skip
    assert lost["gptq_w4a16"] < 0.8 * lost["rtn_w4a16"]
    assert lost["rtn_w8a8"] < 0.02 * lost["rtn_w4a16"]


def logits(folder):
    return load.ReferenceModel(folder, 2).logits(IDS)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_scaling_before_rounding_changes_weights_and_hardly_what_they_compute(family, work):
    made = work(family, "smoothquant_w8a8")
    oneshot.compress(made)
    name = "model.layers.1.input_layernorm.weight"
    before, after = (checkpoint.read_state(f)[name] for f in (made.source, made.out))
    assert (after / before - 1).abs().max() > 0.1
    want = logits(made.source)
    assert np.abs(logits(made.out) - want).max() < 0.05 * np.abs(want).max()


def with_large_inputs(source, out):
    """Write a model, four inputs of whose matrices are far larger than the others."""
    state = checkpoint.read_state(source)
    for name, weight in state.items():
        if name.endswith("layernorm.weight"):
            weight[3::16] *= 30
    checkpoint.write(out, state, checkpoint.read_config(source), beside=source)
    return out


def first_queries(model):
    """Return what the first matrix gives, a token a row."""
    found = []
    matrix = model.model.layers[0].self_attn.q_proj
    matrix.register_forward_hook(lambda _, __, output: found.append(output[0]))
    with torch.inference_mode():
        model(torch.tensor([IDS]))
    return found[0]


@pytest.mark.parametrize(
    ("plain", "scheme"), [("rtn_w4a16", "awq_w4a16"), ("rtn_w8a8", "smoothquant_w8a8")]
)
def test_scaling_before_keeps_more_where_few_inputs_are_large(
    plain, scheme, work, tiny_llama, tmp_path, monkeypatch
):
    """Of a matrix's outputs, as it runs; what a random model makes of them is chance."""
    monkeypatch.setattr(oneshot, "SMOOTHING", 0.5)  # shared evenly, as theory has it here
    source, lost = with_large_inputs(tiny_llama, tmp_path / "source"), {}
    want = first_queries(load.trainable(source, torch.device("cpu")))
    for name in (plain, scheme):
        made = work("llama", name, source=source)
        oneshot.compress(made)
        out = tmp_path / f"a-{name}"
        build.build(made.out, out, format="compressed_tensors", quantisation="stated")
        got = first_queries(runtime.load(out)._model)
        lost[name] = float((got - want).square().mean() / want.square().mean())
    assert lost[scheme] < 0.8 * lost[plain]


def test_a_group_that_does_not_divide_is_refused_and_those_that_do_are_named(work):
    """Widths of 64, and of 96 in `down_proj`."""
    with pytest.raises(InputError, match=r"group is 64, .* widths of 96 columns: 32, 16 fit all"):
        oneshot.compress(work("llama", "gptq_w4a16", group=64))
    with pytest.raises(InputError, match=r"widths of 64, 96 columns"):
        oneshot.compress(work("llama", "rtn_w4a16", group=128))
    assert oneshot.compress(work("llama", "rtn_w8a8", group=128))["group"] == 0


def test_a_checkpoint_that_is_quantised_already_is_refused(work):
    first = work("llama", "rtn_w4a16")
    oneshot.compress(first)
    for name in checkpoint.SIDE_FILES:
        if (first.out / name).exists():
            shutil.copy(first.out / name, first.out / packed.NAME)
    with pytest.raises(InputError, match=r"quantization_config is .* choose another model"):
        oneshot.compress(work("llama", "rtn_w8a8", source=first.out / packed.NAME))


def test_nothing_of_llmcompressor_is_changed_for_good(work):
    from llmcompressor.core import active_session
    from llmcompressor.pipelines.cache import IntermediatesCache

    plain = IntermediatesCache.pin_memory
    oneshot.compress(work("llama", "awq_w4a16"))
    assert IntermediatesCache.pin_memory is plain
    assert active_session().state.model is None
