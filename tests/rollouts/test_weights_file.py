"""What is written over a file is what llama.cpp's converter would have written."""

import numpy as np
import pytest
import torch
from potstill.errors import InputError
from potstill.export import build
from potstill.models import checkpoint
from potstill.rollouts.weights_file import WeightsFile

from tests.tiny_models import CASES


def other(folder, out, seed=7):
    """Write a checkpoint of the same shapes with other weights; return them by name."""
    source = torch.Generator().manual_seed(seed)
    state = {
        name: tensor.float() + torch.randn(tensor.shape, generator=source)
        for name, tensor in checkpoint.tensors(folder)
    }
    checkpoint.write(out, dict(state), checkpoint.read_config(folder), beside=folder)
    return state


def exported(folder, out, quantisation):
    build.build(folder, out, format="gguf", quantisation=quantisation)
    return out / "model.gguf"


@pytest.mark.parametrize("quantisation", ["f16", "bf16", "q8_0"])
@pytest.mark.parametrize("family", CASES)
def test_new_weights_make_the_file_of_their_checkpoint(
    family, quantisation, tiny_checkpoint, tmp_path
):
    start = tiny_checkpoint(family)
    state = other(start, tmp_path / "new")
    ours = exported(start, tmp_path / "a", quantisation)
    theirs = exported(tmp_path / "new", tmp_path / "b", quantisation)
    file = WeightsFile(ours, checkpoint.read_config(start))
    assert ours.read_bytes() != theirs.read_bytes()
    file.write(state.items())
    assert ours.read_bytes() == theirs.read_bytes()
    file.check(state.items())


def test_a_file_that_the_converter_wrote_otherwise_is_refused(tiny_llama, tmp_path):
    file = WeightsFile(
        exported(tiny_llama, tmp_path / "a", "f16"), checkpoint.read_config(tiny_llama)
    )
    weights = dict(checkpoint.tensors(tiny_llama))
    file.check(weights.items())
    name = "model.layers.0.self_attn.q_proj.weight"
    weights[name] = weights[name].flip(0)  # as another order of rows would be
    with pytest.raises(InputError, match=f"stores {name} otherwise"):
        file.check(weights.items())


def test_what_the_file_cannot_hold_is_refused(tiny_llama, tmp_path):
    path = exported(tiny_llama, tmp_path / "a", "f16")
    file, before = WeightsFile(path, checkpoint.read_config(tiny_llama)), path.read_bytes()
    name = "model.layers.0.mlp.up_proj.weight"
    huge = torch.full(checkpoint.shapes(tiny_llama)[name], 1e6)
    with pytest.raises(InputError, match="not finite in float16: lower learning_rate"):
        file.write([(name, huge)])
    with pytest.raises(InputError, match=r"has no tensor model\.layers\.99\.up"):
        file.write([("model.layers.99.up", huge)])
    assert path.read_bytes() == before
    assert np.isinf(huge.half().numpy()).all()
