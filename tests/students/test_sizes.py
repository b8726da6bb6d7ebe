"""The foreseen size of a file is the size that llama.cpp's converter and quantiser give it."""

import pytest
from potstill.errors import InputError
from potstill.export import build, gguf
from potstill.models import checkpoint
from potstill.models.gguf_header import read_header
from potstill.sources import gguf_names
from potstill.students import sizes

from tests.tiny_models import CASES


@pytest.mark.parametrize("quantisation", gguf.QUANTISATIONS)
@pytest.mark.parametrize("family", CASES)
def test_types_and_bytes_are_those_of_the_file(family, quantisation, tiny_gguf, tiny_checkpoint):
    folder = tiny_checkpoint(family)
    path = tiny_gguf(family, quantisation) / "model.gguf"
    config, header = checkpoint.read_config(folder), read_header(path)
    mixture, _, head = quantisation.partition("_head_")
    for tensor in header.tensors:
        name, shape = gguf_names.stored_as(tensor.name), list(reversed(tensor.shape))
        if name in checkpoint.shapes(folder):
            assert sizes._type(name, shape, config, mixture, head) == tensor.type.name, name
    data = path.stat().st_size - header.start
    foreseen = sizes.file_bytes(config, quantisation, folder)
    tensors = foreseen - sizes._header_bytes(len(header.tensors), folder)
    assert abs(tensors - data) <= 128  # rotary factors of Llama 3 are a tensor more
    assert abs(foreseen - path.stat().st_size) < 0.2 * header.start


def test_the_rule_of_more_bits_is_llama_cpps(tiny_checkpoint, tmp_path):
    """Twenty layers: first and last eighth, every third between."""
    folder = tiny_checkpoint("llama")
    state, config = checkpoint.read_state(folder), checkpoint.read_config(folder)
    grown = {n: t for n, t in state.items() if not n.startswith("model.layers.")}
    for n, tensor in state.items():
        if n.startswith("model.layers.0."):
            for layer in range(20):
                grown[n.replace("layers.0.", f"layers.{layer}.")] = tensor.clone()
    many = {**config, "num_hidden_layers": 20}
    checkpoint.write(tmp_path / "many", grown, many, beside=folder)
    build.build(tmp_path / "many", tmp_path / "a", format="gguf", quantisation="q4_k_m")
    for tensor in read_header(tmp_path / "a/model.gguf").tensors:
        name, shape = gguf_names.stored_as(tensor.name), list(reversed(tensor.shape))
        assert sizes._type(name, shape, many, "q4_k_m", "") == tensor.type.name, name


def test_a_quantisation_without_a_rule_is_refused(tiny_llama):
    with pytest.raises(InputError, match="no rule for 'q3_k'; allowed: bf16"):
        sizes.file_bytes(checkpoint.read_config(tiny_llama), "q3_k", tiny_llama)
