"""Weights of a GGUF file: every stored type, a head stored twice, tensors that do not fit."""

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Kind
from gguf import GGUFReader
from gguf.quants import dequantize
from potstill import gguf_names
from potstill.errors import InputError
from potstill.models import gguf_header
from potstill.sources import gguf_config, gguf_weights

from tests import gguf_files


def opened(path):
    header = gguf_header.read_header(path)
    return gguf_weights.Weights(path, header, gguf_config.config_of(header, path))


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q6_K", "Q5_1", "Q4_K_M", "Q4_0", "Q2_K"])
def test_weights_equal_the_reader_of_the_gguf_package(tiny_checkpoint, tmp_path, family, kind):
    whole = gguf_files.write(family, tiny_checkpoint(family), tmp_path / "f32.gguf")
    path = gguf_files.quantise(whole, tmp_path / "x.gguf", kind)
    found, theirs = opened(path), GGUFReader(path).tensors
    assert len(found.shapes) == len(theirs)
    for tensor in theirs:
        name = gguf_names.stored_as(tensor.name)
        got, want = found.read(name), dequantize(tensor.data, tensor.tensor_type)
        assert got.dtype == np.float32
        assert list(got.shape) == found.shapes[name] == list(want.shape)
        if family == "llama" and tensor.name.split(".")[2:3] in (["attn_q"], ["attn_k"]):
            heads = 4 if "attn_q" in tensor.name else 2
            halves = got.reshape(heads, 2, -1, *got.shape[1:])  # as the file has the rows
            got = halves.swapaxes(1, 2).reshape(got.shape)
        assert np.array_equal(got, want), tensor.name


@pytest.mark.parametrize(
    ("embedding", "head", "kept"),
    [(Kind.Q4_0, Kind.Q8_0, "Q8_0"), (Kind.Q8_0, Kind.Q4_0, "Q8_0"), (Kind.F16, Kind.F16, "F16"),
     (Kind.Q5_1, Kind.F32, "F32")],
)  # fmt: skip
def test_a_head_that_is_the_embedding_at_another_quantisation_is_tied_again(
    tiny_qwen2, tmp_path, embedding, head, kept
):
    kinds = {"token_embd.weight": embedding, "output.weight": head}
    path = gguf_files.write("qwen2", tiny_qwen2, tmp_path / "x.gguf", kinds=kinds, head=True)
    weights = opened(path)
    assert gguf_weights.HEAD in weights.shapes
    note = weights.tie()
    assert f"the {kept} copy kept" in note
    assert gguf_weights.HEAD not in weights.shapes
    finer = "output.weight" if kept == head.name else "token_embd.weight"
    stored = next(t for t in GGUFReader(path).tensors if t.name == finer)
    want = dequantize(stored.data, stored.tensor_type)
    assert np.array_equal(weights.read(gguf_weights.EMBEDDING), want)


def test_a_head_of_its_own_stays(tiny_checkpoint, tmp_path):
    path = gguf_files.write("llama2", tiny_checkpoint("llama2"), tmp_path / "x.gguf")
    weights = opened(path)
    assert weights.tie() is None
    assert gguf_weights.HEAD in weights.shapes


def test_tensors_of_another_model_are_named(tiny_qwen2, tiny_llama, tmp_path):
    path = gguf_files.write("qwen2", tiny_qwen2, tmp_path / "x.gguf")
    header = gguf_header.read_header(path)
    config = gguf_config.config_of(header, path)
    with pytest.raises(InputError, match=r"q_norm.*q_proj.bias"):
        gguf_weights.Weights(path, header, {**config, "model_type": "qwen3"})
    with pytest.raises(InputError, match=r"has no \['model\.layers\.2"):
        gguf_weights.Weights(path, header, {**config, "num_hidden_layers": 3})
    data = path.read_bytes().replace(b"blk.1.ffn_up.weight", b"blk.1.ffn_zz.weight")
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"mlp\.up_proj\.weight'\], and \['blk\.1\.ffn_zz"):
        opened(path)
