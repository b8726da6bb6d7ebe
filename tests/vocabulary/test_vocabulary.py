"""Trimming keeps every text encodable and leaves texts of kept tokens exactly as they were."""

import json
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from potstill.errors import InputError
from potstill.vocabulary import bpe, trimming
from tokenizers import Tokenizer

CORPUS = "def wrap(text, width):\n    return text[:width]\n" * 4


@pytest.fixture(scope="module")
def source(tiny_llama):
    return json.loads((tiny_llama / "tokenizer.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def pair(source):
    full = Tokenizer.from_str(json.dumps(source))
    counts = bpe.count_tokens([full.encode(CORPUS).ids])
    kept = bpe.trim(source, [counts], 300)
    return full, Tokenizer.from_str(json.dumps(bpe.rewrite(source, kept))), kept


def test_the_corpus_is_encoded_as_before(pair):
    full, trimmed, kept = pair
    assert [kept[i] for i in trimmed.encode(CORPUS).ids] == full.encode(CORPUS).ids


def test_the_size_is_not_exceeded_and_special_tokens_stay(pair, source):
    full, trimmed, kept = pair
    assert len(kept) == trimmed.get_vocab_size() == 300 < full.get_vocab_size()
    for entry in source["added_tokens"]:
        assert trimmed.token_to_id(entry["content"]) is not None


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=40))
def test_any_text_survives_and_kept_texts_keep_their_ids(pair, text):
    full, trimmed, kept = pair
    ids, before = trimmed.encode(text).ids, full.encode(text).ids
    assert trimmed.decode(ids, skip_special_tokens=False) == full.decode(
        before, skip_special_tokens=False
    )
    if set(before) <= set(kept):
        assert [kept[i] for i in ids] == before


def test_keeping_everything_changes_nothing(source):
    size = len(source["model"]["vocab"])
    kept = bpe.trim(source, [dict.fromkeys(range(size), 1)], 10 * size)
    assert kept == list(range(size))
    assert bpe.rewrite(source, kept) == source


def test_a_kind_of_texts_decides_before_the_next(source):
    vocab, special = source["model"]["vocab"], {x["id"] for x in source["added_tokens"]}
    least = special | {number for token, number in vocab.items() if len(token) == 1}
    pairs = ["".join(merge) for merge in source["model"]["merges"]]
    first, second, third, *_ = [vocab[pair] for pair in pairs if len(pair) == 2]
    counts = [{third: 1}, {second: 9, first: 8}]
    for room, kept in enumerate([[], [third], [third, second], [third, second, first]]):
        assert bpe.trim(source, counts, len(least) + room) == sorted(least | set(kept))


def test_every_kept_token_can_still_be_built(pair, source):
    _, trimmed, _ = pair
    state = json.loads(trimmed.to_str())
    made = {left + right for left, right in state["model"]["merges"]}
    single = {token for token in state["model"]["vocab"] if len(token) == 1}
    special = {entry["content"] for entry in state["added_tokens"]}
    assert set(state["model"]["vocab"]) <= made | single | special


def test_a_size_below_the_bytes_is_refused(source):
    with pytest.raises(InputError, match="at least 259"):
        bpe.trim(source, [], 100)


def test_a_tokenizer_that_is_not_bpe_is_refused(source):
    with pytest.raises(InputError, match="only byte-level BPE"):
        bpe.trim({**source, "model": {"type": "Unigram"}}, [], 300)


def test_special_ids_of_a_config_are_renumbered():
    config = {"vocab_size": 9, "eos_token_id": [4, 7], "bos_token_id": 4, "pad_token_id": None}
    assert bpe.renumber_config(config, [0, 4, 7]) == {
        "vocab_size": 3,
        "eos_token_id": [1, 2],
        "bos_token_id": 1,
        "pad_token_id": None,
    }


PROCESSORS = [
    {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "<|im_start|>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": "<|im_end|>", "type_id": 0}},
        ],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
        "special_tokens": {
            name: {"id": name, "ids": [None], "tokens": [name]}
            for name in ("<|im_start|>", "<|im_end|>")
        },
    },
    {"type": "RobertaProcessing", "sep": ["<|im_end|>", None], "cls": ["<|im_start|>", None],
     "trim_offsets": True, "add_prefix_space": False},
]  # fmt: skip


@pytest.mark.parametrize("processor", PROCESSORS, ids=lambda p: p["type"])
@pytest.mark.parametrize("nested", [False, True])
def test_autotokenizer_agrees_id_by_id_with_a_trimmed_tokenizer(
    tiny_qwen2, tmp_path, processor, nested
):
    """Its special ids stand at the end of Qwen's numbering, so all of them move."""
    from transformers import AutoTokenizer

    folder = shutil.copytree(tiny_qwen2, tmp_path / "model")
    state = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    ids = {entry["content"]: entry["id"] for entry in state["added_tokens"]}
    text = json.dumps(processor)
    processor = json.loads(text)
    for name, token in processor.get("special_tokens", {}).items():
        token["ids"] = [ids[name]]
    for name in ("sep", "cls"):
        if name in processor:
            processor[name][1] = ids[processor[name][0]]
    state["post_processor"] = (
        {"type": "Sequence", "processors": [processor]} if nested else processor
    )
    (folder / "tokenizer.json").write_text(json.dumps(state), encoding="utf-8")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["added_tokens_decoder"] = {
        str(entry["id"]): {"content": entry["content"], "special": True}
        for entry in state["added_tokens"]
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    kept = trimming.choose(folder, [CORPUS], 320, tmp_path / "small")
    trimming.apply(tmp_path / "small", folder, tmp_path / "out")
    full, small = (
        AutoTokenizer.from_pretrained(folder),
        AutoTokenizer.from_pretrained(tmp_path / "out"),
    )
    ours = Tokenizer.from_file(str(tmp_path / "out/tokenizer.json"))
    for special in (True, False):
        got = small(CORPUS, add_special_tokens=special).input_ids
        assert got == ours.encode(CORPUS, add_special_tokens=special).ids
        assert [kept[i] for i in got] == full(CORPUS, add_special_tokens=special).input_ids
    decoder = json.loads((tmp_path / "out/tokenizer_config.json").read_text())[
        "added_tokens_decoder"
    ]
    assert {int(i): t["content"] for i, t in decoder.items()} == {
        ours.token_to_id(name): name for name in ids
    }
