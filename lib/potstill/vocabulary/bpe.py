"""Trim a BPE vocabulary: a small model's embedding is up to a third of its weights.

Kept are the special tokens, the 256 byte tokens (so that every text still encodes: the letters of
a byte-level vocabulary, `<0x00>` to `<0xFF>` of one with byte fallback) and the tokens
that texts use most, each with the merges that build it; where they use fewer than fit,
the earliest merges of the tokenizer's own training fill up. A text whose tokens are all kept is
encoded exactly as before: every merge that the full tokenizer applied to it is still there, in the
same order, and no merge was added. Any other text falls apart into smaller kept tokens.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from potstill.errors import InputError

SPECIAL_IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id")
_LETTER, _BYTE = re.compile(".", re.DOTALL), re.compile("<0x[0-9A-F]{2}>")


def trim(tokenizer: Mapping[str, Any], counts: Sequence[Mapping[int, int]], size: int) -> list[int]:
    """Choose the old ids to keep, ascending; their positions are the new ids.

    Args:
        tokenizer: the parsed tokenizer.json of a BPE tokenizer, byte-level or with byte fallback.
        counts: old id -> how often texts use it, of each kind of texts; the first kind decides,
            the next one among ids that the first uses equally often, and so on.
        size: number of ids wanted.

    Raises:
        InputError: not a BPE tokenizer, or `size` is too small for what must stay.
    """
    model = tokenizer["model"]
    if model["type"] != "BPE":
        raise InputError(
            f"the tokenizer is {model['type']}; only byte-level BPE and BPE with byte fallback can "
            "be trimmed: set build_vocabulary.size to 0"
        )
    vocab: dict[str, int] = model["vocab"]
    parts = _derivations(tokenizer)
    special = {entry["id"] for entry in tokenizer["added_tokens"]}
    is_byte = _BYTE.fullmatch if model.get("byte_fallback") else _LETTER.fullmatch
    kept = special | {index for token, index in vocab.items() if is_byte(token)}
    if size < len(kept):
        raise InputError(
            f"build_vocabulary.size is {size}; at least {len(kept)} ids (bytes and special tokens) "
            "must stay: raise it"
        )
    names = {index: token for token, index in vocab.items()}
    for index in sorted(names, key=lambda i: (*(-kind.get(i, 0) for kind in counts), i)):
        if index in kept:
            continue
        closure = {vocab[name] for name in _closure(names[index], parts)} - kept
        if len(kept) + len(closure) <= size:
            kept |= closure
    return sorted(kept)


def _derivations(tokenizer: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return token -> the parts of every merge that makes it."""
    parts: dict[str, list[str]] = {}
    for left, right in tokenizer["model"]["merges"]:
        parts.setdefault(left + right, []).extend((left, right))
    return parts


def _closure(token: str, parts: Mapping[str, list[str]]) -> set[str]:
    found, open_ = set(), [token]
    while open_:
        name = open_.pop()
        if name not in found:
            found.add(name)
            open_.extend(parts.get(name, []))
    return found


def rewrite(tokenizer: Mapping[str, Any], kept: list[int]) -> dict[str, Any]:
    """Return the tokenizer.json with only the kept ids, renumbered by their position in `kept`."""
    new_id = {old: new for new, old in enumerate(kept)}
    model = dict(tokenizer["model"])
    vocab = {token: new_id[old] for token, old in model["vocab"].items() if old in new_id}
    model["vocab"] = dict(sorted(vocab.items(), key=lambda item: item[1]))
    model["merges"] = [
        [left, right]
        for left, right in model["merges"]
        if left in vocab and right in vocab and left + right in vocab
    ]
    added = [{**entry, "id": new_id[entry["id"]]} for entry in tokenizer["added_tokens"]]
    processor = _renumber_processor(tokenizer.get("post_processor"), new_id)
    return {**tokenizer, "model": model, "added_tokens": added, "post_processor": processor}


def _renumber_processor(
    processor: dict[str, Any] | None, new_id: Mapping[int, int]
) -> dict[str, Any] | None:
    """Return what adds special tokens to a text, with their new ids."""
    if processor is None:
        return None
    changed = dict(processor)
    if processor["type"] == "Sequence":
        inner = processor["processors"]
        changed["processors"] = [_renumber_processor(step, new_id) for step in inner]
    elif processor["type"] == "TemplateProcessing":
        changed["special_tokens"] = {
            name: {**token, "ids": [new_id[old] for old in token["ids"]]}
            for name, token in processor["special_tokens"].items()
        }
    for name in ("sep", "cls"):  # of BERT and RoBERTa: a token and its id
        if isinstance(processor.get(name), list):
            token, old = processor[name]
            changed[name] = [token, new_id[old]]
    return changed


def rewrite_config(config: Mapping[str, Any], kept: list[int]) -> dict[str, Any]:
    """Return tokenizer_config.json with the ids of its added tokens in the new numbering."""
    decoder = config.get("added_tokens_decoder")
    if decoder is None:
        return dict(config)
    new_id = {old: new for new, old in enumerate(kept)}
    entries = ((int(old), token) for old, token in decoder.items())
    renumbered = {str(new_id[old]): token for old, token in entries if old in new_id}
    return {**config, "added_tokens_decoder": renumbered}


def count_tokens(encoded: Iterable[list[int]]) -> Counter[int]:
    """Count how often each id occurs in encoded texts."""
    counts: Counter[int] = Counter()
    for ids in encoded:
        counts.update(ids)
    return counts


def renumber_config(config: Mapping[str, Any], kept: list[int]) -> dict[str, Any]:
    """Return a model or generation config with its size and special ids in the new numbering."""
    new_id = {old: new for new, old in enumerate(kept)}
    changed = dict(config)
    if "vocab_size" in changed:
        changed["vocab_size"] = len(kept)
    for key in SPECIAL_IDS:
        value = changed.get(key)
        if isinstance(value, list):
            changed[key] = [new_id[old] for old in value]
        elif value is not None:
            changed[key] = new_id[value]
    return changed
