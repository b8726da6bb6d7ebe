"""artifact.json: what it says, and what finds damage. The format is GGUF, the cheapest."""

import json
import shutil

import pytest
from potstill import files, runtime
from potstill.errors import InputError
from potstill.export import FORMATS, build
from potstill.models.chat import ChatTokenizer
from potstill.runtime import artifact


@pytest.fixture
def copy(tiny_gguf, tmp_path):
    folder = tmp_path / "artefact"
    shutil.copytree(tiny_gguf("llama", "q8_0"), folder)
    return folder


def test_it_describes_all_its_files(copy, tiny_llama):
    description = artifact.read(copy)
    assert set(description) >= set(artifact.FIELDS)
    names = {path.name for path in copy.iterdir()} - {"artifact.json"}
    assert set(description["files"]) == names
    assert names == {
        "model.gguf", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
        "generation_config.json",
    }  # fmt: skip
    for name, entry in description["files"].items():
        assert entry["bytes"] == (copy / name).stat().st_size
        assert entry["sha256"] == files.sha256_file(copy / name)
    assert description["stop_tokens"] == ["<|im_end|>"]
    assert (description["stop_ids"], description["bos_id"]) == ([2], 1)
    assert (description["context"], description["vocab_size"]) == (512, 509)
    assert description["chat_template"] == (tiny_llama / "chat_template.jinja").read_text()


def test_a_tied_head_counts_once(copy):
    width, ffn, key_value = 64, 96, 32
    layer = 2 * width * width + 2 * width * key_value + 3 * width * ffn + 2 * width
    assert artifact.read(copy)["num_parameters"] == 509 * width + 2 * layer + width


def test_stop_ids_are_the_checkpoints_and_a_reader_of_the_artefact_finds_them(tiny_llama, tmp_path):
    """Several end tokens, as Qwen2.5-Instruct and Llama 3 Instruct have them."""
    folder = shutil.copytree(tiny_llama, tmp_path / "checkpoint")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 0]}))
    made = build.build(folder, tmp_path / "out", format="gguf", quantisation="f16")
    assert made["stop_ids"] == [0, 2]  # and never the bos id, 1
    assert ChatTokenizer(tmp_path / "out").stop_ids == ChatTokenizer(folder).stop_ids == {0, 2}


def flip_last_byte(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "damage", "reason"),
    [
        ("model.gguf", flip_last_byte, r"model\.gguf has SHA-256"),
        ("model.gguf", lambda p: p.write_bytes(p.read_bytes()[:999]), r"model\.gguf has 999 bytes"),
        ("tokenizer.json", flip_last_byte, r"tokenizer\.json has SHA-256"),
        ("model.gguf", lambda p: p.unlink(), r"model\.gguf is missing"),
        ("artifact.json", lambda p: p.unlink(), r"artifact\.json is missing"),
        ("artifact.json", lambda p: p.write_text("{}"), r"artifact\.json lacks format"),
        ("artifact.json", lambda p: p.write_text("[1]"), r"artifact\.json lacks format"),
        ("artifact.json", lambda p: p.write_text("{"), r"artifact\.json is not JSON"),
    ],
)
def test_damage_is_named_before_anything_is_loaded(copy, name, damage, reason):
    damage(copy / name)
    with pytest.raises(InputError, match=reason):
        runtime.load(copy)


def test_a_path_out_of_the_artefact_is_refused(copy):
    description = artifact.read(copy)
    description["files"]["../secret"] = {"bytes": 0, "sha256": ""}
    (copy / "artifact.json").write_text(json.dumps(description))
    with pytest.raises(InputError, match=r"\.\./secret, outside"):
        artifact.verify(copy)


@pytest.mark.parametrize("listed", [[], {"model.gguf": None}, {"model.gguf": {"bytes": 1}}])
def test_a_list_of_files_that_is_none_is_one_line(copy, listed):
    description = json.loads((copy / "artifact.json").read_text())
    (copy / "artifact.json").write_text(json.dumps(description | {"files": listed}))
    with pytest.raises(InputError, match="files must have bytes and sha256 each"):
        runtime.load(copy)


def test_unknown_names_list_those_allowed(tiny_llama, tmp_path):
    with pytest.raises(InputError, match=r"unknown format 'ggml'; allowed: .*gguf"):
        build.build(tiny_llama, tmp_path / "a", format="ggml", quantisation="f16")
    with pytest.raises(InputError, match="did you mean q4_k_m"):
        build.build(tiny_llama, tmp_path / "a", format="gguf", quantisation="q4_k")


def test_a_folder_with_files_is_left_alone(tiny_llama, copy):
    before = files.sha256_tree(copy)
    with pytest.raises(InputError, match="is not empty"):
        build.build(tiny_llama, copy, format="gguf", quantisation="f16")
    assert files.sha256_tree(copy) == before


def test_formats_and_runtimes_have_the_same_names():
    assert set(FORMATS) == set(runtime.RUNTIMES)
