"""Weights of every stored type come back as gguf's own reader gives them."""

import numpy as np
import pytest
from gguf import GGUFReader
from gguf.quants import dequantize
from potstill.export import gguf
from potstill.gguf import header as gguf_file
from potstill.sources import gguf_weights


@pytest.mark.parametrize("family", ["llama", "qwen2"])
@pytest.mark.parametrize("quantisation", gguf.QUANTISATIONS)
def test_weights_equal_the_reader_of_the_gguf_package(
    tiny_checkpoint, tmp_path, family, quantisation
):
    gguf.export(tiny_checkpoint(family), tmp_path, quantisation=quantisation)
    path = tmp_path / "model.gguf"
    found = gguf_weights.read_weights(path, gguf_file.read_header(path), heads=4, kv_heads=2)
    theirs = GGUFReader(path).tensors
    assert len(found) == len(theirs)
    for tensor in theirs:
        want, got = (
            dequantize(tensor.data, tensor.tensor_type),
            found[gguf_weights._name(tensor.name)],
        )
        assert got.dtype == np.float32
        assert got.shape == want.shape
        if family == "llama" and tensor.name.split(".")[2:3] in (["attn_q"], ["attn_k"]):
            heads = 4 if "attn_q" in tensor.name else 2
            got = gguf.rotate_pairs(got, heads)  # as the file has the rows
        assert np.array_equal(got, want), tensor.name
