"""The foreseen size of a file is the size that llama.cpp's converter and quantiser give it."""

import json
import shutil

import pytest
from potstill import gguf_names
from potstill.errors import InputError
from potstill.export import build, gguf
from potstill.models import checkpoint
from potstill.models.gguf_header import read_header
from potstill.students import sizes

from tests.tiny_models import CASES

SLACK = 2048  # what the docstring allows, above and not below


def check(path, folder, quantisation):
    """Hold every tensor's type and the file's size against what was foreseen."""
    config, header = checkpoint.read_config(folder), read_header(path)
    for tensor in header.tensors:
        name, shape = gguf_names.stored_as(tensor.name), list(reversed(tensor.shape))
        assert sizes.stored_type(name, shape, config, quantisation) == tensor.type.name, name
    vocabulary = sizes.vocabulary_bytes(folder, config["vocab_size"])
    foreseen = sizes.file_bytes(config, quantisation, vocabulary)
    assert 0 <= foreseen - path.stat().st_size <= SLACK


@pytest.mark.parametrize("quantisation", gguf.STOCK)
@pytest.mark.parametrize("family", CASES)
def test_types_and_bytes_are_those_of_the_file(family, quantisation, tiny_gguf, tiny_checkpoint):
    check(tiny_gguf(family, quantisation) / "model.gguf", tiny_checkpoint(family), quantisation)


def with_layers(folder, out, count):
    """Write a checkpoint whose first layer stands there many times."""
    state, config = checkpoint.read_state(folder), checkpoint.read_config(folder)
    grown = {n: t for n, t in state.items() if not n.startswith("model.layers.")}
    for n, tensor in state.items():
        if n.startswith("model.layers.0."):
            for layer in range(count):
                grown[n.replace("layers.0.", f"layers.{layer}.")] = tensor.clone()
    checkpoint.write(out, grown, {**config, "num_hidden_layers": count}, beside=folder)
    return out


@pytest.mark.parametrize(
    ("family", "layers"), [("llama", 20), ("llama", 80), ("qwen2", 80), ("qwen3", 80)]
)
def test_the_rule_of_more_bits_is_llama_cpps(family, layers, tiny_checkpoint, tmp_path):
    """First and last eighth, every third between; at 80 layers the values' own exception."""
    many = with_layers(tiny_checkpoint(family), tmp_path / "many", layers)
    build.build(many, tmp_path / "a", format="gguf", quantisation="q4_k_m")
    check(tmp_path / "a/model.gguf", many, "q4_k_m")


@pytest.mark.parametrize("where", ["chat_template.jinja", "tokenizer_config.json"])
def test_a_long_template_counts_wherever_it_stands(where, tiny_llama, tmp_path):
    folder = tmp_path / "long"
    shutil.copytree(tiny_llama, folder)
    path, text = folder / "tokenizer_config.json", "{# é #}" * 5000 + CASES["llama"].template
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    if where == path.name:
        path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": text}))
    else:
        (folder / where).write_text(text)
    build.build(folder, tmp_path / "a", format="gguf", quantisation="q8_0")
    check(tmp_path / "a/model.gguf", folder, "q8_0")


def test_merges_may_be_strings(tiny_llama, tmp_path):
    folder = tmp_path / "strings"
    shutil.copytree(tiny_llama, folder)
    found = json.loads((folder / "tokenizer.json").read_text())
    before = sizes.vocabulary_bytes(folder, 600)
    found["model"]["merges"] = [
        m if isinstance(m, str) else " ".join(m) for m in found["model"]["merges"]
    ]
    (folder / "tokenizer.json").write_text(json.dumps(found))
    assert sizes.vocabulary_bytes(folder, 600) == before


def test_a_quantisation_without_a_rule_is_refused(tiny_llama):
    with pytest.raises(InputError, match="no rule for 'q3_k'; allowed: bf16"):
        sizes.file_bytes(checkpoint.read_config(tiny_llama), "q3_k", 0)
