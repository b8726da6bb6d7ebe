"""Trimming tokenizers with byte fallback, and those that take whole words without merges.

Their post-processors, which `rewrite` renumbers, are in test_vocabulary.
"""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from potstill.errors import InputError
from potstill.vocabulary import bpe
from tokenizers import Tokenizer

CORPUS = "def wrap(text, width):\n    return text[:width] # naïve\n" * 4
SIZE = 330
METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}


def encode(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).ids


@pytest.fixture(scope="module", params=["llama2", "mistral", "llama3", "metaspace"])
def trio(request, tiny_checkpoint):
    """Return (parsed tokenizer.json, full tokenizer, trimmed tokenizer, kept ids)."""
    case = {"metaspace": "mistral"}.get(request.param, request.param)
    source = json.loads((tiny_checkpoint(case) / "tokenizer.json").read_text(encoding="utf-8"))
    if request.param == "metaspace":  # as Mistral 7B v0.3 has it
        source |= {"normalizer": None, "pre_tokenizer": METASPACE}
    full = Tokenizer.from_str(json.dumps(source))
    kept = bpe.trim(source, [bpe.count_tokens([encode(full, CORPUS)])], SIZE)
    trimmed = Tokenizer.from_str(json.dumps(bpe.rewrite(source, kept)))
    return source, full, trimmed, kept


def test_what_the_corpus_uses_stays_with_bytes_and_special_tokens(trio):
    source, full, trimmed, kept = trio
    assert len(kept) == trimmed.get_vocab_size() == SIZE < full.get_vocab_size()
    assert [kept[i] for i in encode(trimmed, CORPUS)] == encode(full, CORPUS)
    must = {entry["content"] for entry in source["added_tokens"]}
    if source["model"]["byte_fallback"]:
        must |= {f"<0x{byte:02X}>" for byte in range(256)}
    assert all(trimmed.token_to_id(token) is not None for token in must)


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=40))
def test_any_text_survives_and_kept_texts_keep_their_ids(trio, text):
    _, full, trimmed, kept = trio
    ids, before = encode(trimmed, text), encode(full, text)
    assert trimmed.decode(ids, skip_special_tokens=False) == full.decode(
        before, skip_special_tokens=False
    )
    if set(before) <= set(kept):
        assert [kept[i] for i in ids] == before


def test_a_letter_that_was_not_kept_falls_apart_into_bytes(tiny_checkpoint):
    path = tiny_checkpoint("llama2") / "tokenizer.json"
    source = json.loads(path.read_text(encoding="utf-8"))
    assert "語" in source["model"]["vocab"]
    kept = bpe.trim(source, [], 280)
    trimmed = Tokenizer.from_str(json.dumps(bpe.rewrite(source, kept)))
    assert "語" not in trimmed.get_vocab()
    tokens = trimmed.encode("語", add_special_tokens=False).tokens
    assert tokens[-3:] == ["<0xE8>", "<0xAA>", "<0x9E>"]
    assert trimmed.decode(encode(trimmed, "語")) == "語"


def test_a_size_below_the_bytes_is_refused(tiny_checkpoint):
    source = json.loads((tiny_checkpoint("mistral") / "tokenizer.json").read_text())
    with pytest.raises(InputError, match="at least 259"):
        bpe.trim(source, [], 258)
