"""GGUF files of every family: weights, settings and tokenizer come back as they were.

Oracles: the checkpoint that the file was written from, and llama.cpp on the same file.
"""

import json
import os
import random
import unicodedata
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from potstill.errors import InputError
from potstill.loading import load
from potstill.models import checkpoint, families, gguf_header
from potstill.models.chat import ChatTokenizer
from potstill.runtime.llama_cpp import LlamaCpp
from potstill.sources import fetch as sources
from potstill.sources import gguf_config, gguf_tokenizer
from transformers import AutoTokenizer

from tests import gguf_files
from tests.tiny_models import CASES

TEXTS = [
    "", " ", "  ", "\n", "x = 12345", "  def f():\n\treturn '🙂 naïve 日本'\n\n\n", "don't we'LL",
    "return text", " returns  texts", "a▁b", "½ ² Ⅳ", "\x00\x7f", "textwrap wrapping the text ends",
    "a<|im_end|>b 3.14", "<s>hi</s> there<unk>", "<|eot_id|><|begin_of_text|> x", "<0x41>",
]  # fmt: skip
PUBLISHED, VARIABLE = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "POTSTILL_QWEN_GGUF"
QWEN = os.environ.get(VARIABLE, "")
IDS = [3, 77, 12, 401, 9, 9, 250, 31, 8, *range(5, 90)]


@pytest.fixture(scope="module", params=list(CASES))
def made(request, tiny_checkpoint, tmp_path_factory):
    """Return (checkpoint, GGUF file of it, what was fetched from that)."""
    folder, base = tiny_checkpoint(request.param), tmp_path_factory.mktemp("g")
    path = gguf_files.write(request.param, folder, base / "x.gguf")
    sources.fetch(f"gguf:{path}", None, "float32", base / "out")
    return folder, path, base / "out"


def test_weights_come_back_to_the_bit(made):
    before, after = checkpoint.read_state(made[0]), checkpoint.read_state(made[2])
    assert set(after) == set(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_settings_give_the_same_logits_in_transformers_and_llama_cpp(made):
    want = load.ReferenceModel(made[0], 2).logits(IDS)
    assert np.array_equal(load.ReferenceModel(made[2], 2).logits(IDS), want)
    with closing(LlamaCpp(made[1], stop_ids=frozenset(), threads=2, context=256)) as model:
        assert np.abs(model.logits(IDS) - want).max() < 0.03  # its cache is float16
    after, before = checkpoint.read_config(made[2]), checkpoint.read_config(made[0])
    assert families.is_tied(after) == families.is_tied(before)
    for name in ("vocab_size", "max_position_embeddings", "eos_token_id", "rms_norm_eps"):
        assert after[name] == before[name]


def test_the_tokenizer_is_that_of_the_checkpoint_and_of_llama_cpp(made):
    ours, original = ChatTokenizer(made[2]), ChatTokenizer(made[0])
    with closing(LlamaCpp(made[1], stop_ids=frozenset(), threads=1, context=64)) as model:
        for text in TEXTS:
            ids = ours.encode(text)
            assert ids == original.encode(text), text
            assert ids == model.tokenize(text), text
            assert ours.decode(ids) == original.decode(ids)
            with_specials = original.tokenizer.encode(text).ids
            assert ours.tokenizer.encode(text).ids == with_specials
    assert ours.vocab_size == original.vocab_size  # rows beyond the ids are no tokens
    assert ours.stop_ids == original.stop_ids
    assert ours.template == original.template


def random_text(draw):
    """Return pieces of words, spaces and signs, composed: llama.cpp does not normalise."""
    ranges = [(32, 127), (160, 0x2000), (0x4E00, 0x9000), (0x1F300, 0x1F700)]
    words = [" the", " text", "wrap", " ", "   ", "\n", "\t", "é", "▁", "don't", "'LL", "4567", "."]
    letters = [chr(draw.randrange(*draw.choice(ranges))) for _ in range(draw.randrange(8))]
    pieces = letters + [draw.choice(words) for _ in range(draw.randrange(12))]
    draw.shuffle(pieces)
    return unicodedata.normalize("NFC", "".join(pieces))


def test_random_texts_have_the_ids_of_llama_cpp(made):
    ours, draw = ChatTokenizer(made[2]), random.Random(0)
    with closing(LlamaCpp(made[1], stop_ids=frozenset(), threads=1, context=64)) as model:
        texts = [random_text(draw) for _ in range(500)]
        assert [text for text in texts if ours.encode(text) != model.tokenize(text)] == []


def test_the_tokenizer_is_one_to_transformers_too(made):
    ours, theirs = ChatTokenizer(made[2]), AutoTokenizer.from_pretrained(made[2])
    for text in TEXTS:
        assert theirs.encode(text) == ours.tokenizer.encode(text).ids, text
    original = ChatTokenizer(made[0])
    assert theirs.eos_token_id in original.stop_ids
    assert theirs.bos_token == original.config["bos_token"]


def test_words_that_no_merge_makes_are_taken_whole(tiny_checkpoint):
    """Without this the case of `ignore_merges` would test nothing."""
    chat = ChatTokenizer(tiny_checkpoint("llama3"))
    state = json.loads(chat.tokenizer.to_str())
    made = {left + right for left, right in state["model"]["merges"]}
    (index,) = chat.encode(" return")
    assert chat.tokenizer.id_to_token(index) == "Ġreturn"
    assert "Ġreturn" not in made


def changed(header, path, **fields):
    given = {key.replace("__", "."): value for key, value in fields.items()}
    header.fields.update(given)
    return gguf_config.config_of(header, path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"general__architecture": "gemma2"}, "is 'gemma2'; supported: llama, qwen2, qwen3"),
        ({"llama__rope__scaling__type": "yarn"}, "rope_type is 'yarn'; supported: default, llama3"),
        ({"llama__expert_count": 8}, "num_local_experts is 8"),
        ({"llama__rope__dimension_count": 8}, "partial_rotary_factor is 0.5"),
        ({"llama__attention__value_length": 8}, "keys have width 16, values 8"),
        ({"llama__attention__head_count_kv": [2, 4]}, r"head_count_kv is \[2, 4\]; a whole number"),
        ({"llama__block_count": "2"}, "block_count is '2'; a whole number"),
        ({"llama__embedding_length": None}, "embedding_length is None"),
        ({"llama__rope__freq_base": float("nan")}, "a number above 0"),
        ({"tokenizer__ggml__tokens": ["a"] * 999}, "999 tokens, an embedding of 509 rows"),
    ],
)
def test_settings_that_are_not_carried_are_named(tiny_llama, tmp_path, fields, message):
    path = gguf_files.write("llama", tiny_llama, tmp_path / "x.gguf")
    with pytest.raises(InputError, match=message) as caught:
        changed(gguf_header.read_header(path), path, **fields)
    assert "\n" not in str(caught.value)


def test_an_unknown_family_is_refused_before_anything_is_written(tiny_llama, tmp_path):
    path = gguf_files.write("llama", tiny_llama, tmp_path / "x.gguf")
    path.write_bytes(path.read_bytes().replace(b"llama", b"gemma"))
    with pytest.raises(InputError, match=r"general\.architecture is 'gemma'"):
        sources.fetch(f"gguf:{path}", None, "float32", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_tokenizer_is_refused_before_anything_is_written(tiny_llama, tmp_path):
    path = gguf_files.write("llama", tiny_llama, tmp_path / "x.gguf")
    path.write_bytes(path.read_bytes().replace(b"smollm", b"gpt-77"))
    with pytest.raises(InputError, match="gpt2/gpt-77; supported: llama, and gpt2 with llama-bpe"):
        sources.fetch(f"gguf:{path}", None, "float32", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tokenizer.ggml.token_type": [1]}, "541 tokens, 1 token types"),
        ({"tokenizer.ggml.scores": [0.0]}, "and 1 scores"),
        ({"tokenizer.ggml.bos_token_id": 9999}, "bos 9999 of 541"),
    ],
)
def test_a_tokenizer_that_does_not_fit_is_named(tiny_checkpoint, tmp_path, fields, message):
    path = gguf_files.write("llama2", tiny_checkpoint("llama2"), tmp_path / "x.gguf")
    with pytest.raises(InputError, match=message):
        gguf_tokenizer.tokenizer_files(gguf_header.read_header(path).fields | fields)


@pytest.mark.parametrize(
    "rule",
    [
        {"factor": 8.0, "original_max_position_embeddings": 8192},  # Llama 3.1
        {"factor": 32.0, "original_max_position_embeddings": 8192},  # Llama 3.2
        {"factor": 4.0, "original_max_position_embeddings": 2048},
    ],
)
@pytest.mark.parametrize("head_dim", [64, 128])
def test_the_rule_of_scaled_positions_is_found_again(rule, head_dim, tmp_path):
    rope = {"rope_theta": 500_000.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, **rule}
    factors = gguf_files._rope_factors(rope, head_dim)
    config = {"head_dim": head_dim, "rope_theta": 500_000.0}
    found = gguf_config._scaled(factors, config, tmp_path)["rope_scaling"]
    assert found.pop("rope_type") == "llama3"
    assert {**found, "rope_theta": 500_000.0} == rope


def test_factors_of_no_rule_are_refused(tmp_path):
    factors = gguf_files._rope_factors(
        {"rope_theta": 5e5, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "factor": 8.0,
         "original_max_position_embeddings": 8192}, 64,
    )  # fmt: skip
    config = {"head_dim": 64, "rope_theta": 5e5}
    for place, change in ((3, 1.01), (20, 1.01), (31, 1.5)):
        wrong = factors.copy()
        wrong[place] *= change
        with pytest.raises(InputError, match="are not those of llama3's scaling"):
            gguf_config._scaled(wrong, config, tmp_path)
    with pytest.raises(InputError, match="not those"):
        gguf_config._scaled(factors[:-1], config, tmp_path)
    assert gguf_config._scaled(np.ones(32, np.float32), config, tmp_path) == {}


@pytest.mark.real
@pytest.mark.skipif(not QWEN, reason=f"{VARIABLE} names no {PUBLISHED}")
def test_the_published_qwen_coder_is_tied_again(tmp_path):
    origin = sources.fetch(f"gguf:{QWEN}", None, "bfloat16", tmp_path / "out")
    assert "the head (Q8_0) is the embedding (Q5_0) stored again" in origin.notes[0]
    assert checkpoint.count_parameters(tmp_path / "out") == 494_032_768  # of 630M stored
    ours = ChatTokenizer(tmp_path / "out")
    assert ours.vocab_size == 151_665
    with closing(LlamaCpp(Path(QWEN), stop_ids=frozenset(), threads=1, context=64)) as model:
        differing = [text for text in TEXTS if ours.encode(text) != model.tokenize(text)]
    # Its vocabulary has </s> as an ordinary word, which llama.cpp takes for an end by its text.
    assert differing == [text for text in TEXTS if "</s>" in text]
