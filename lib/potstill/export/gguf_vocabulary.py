"""A Hugging Face tokenizer in the terms of GGUF's metadata, to be handed to the converter.

Why not the converter's own way, where ours knows the rules:
- its table knows a pre-tokenizer by the hash of what a whole vocabulary makes of one text, so it
  knows no trimmed vocabulary, and names no rules; ours compares tokenizer.json's rules;
- it gives each piece of a tokenizer with byte fallback the score -1000 where there is no
  tokenizer.model, so that llama.cpp merges from the left and not by rank;
- it loads transformers' tokenizer, which takes seconds; it does not know a second end token.
Any other tokenizer is left to the converter.

What llama.cpp does not do: Unicode normalisation. Qwen2's tokenizer composes letters first (NFC),
so a text with decomposed accents gets other ids there, from every converter.

Source: llama.cpp, `conversion/base.py`, `get_vocab_base`; `gguf-py/gguf/gguf_writer.py`.
"""

from pathlib import Path
from typing import Any

from potstill import files
from potstill.errors import InputError
from potstill.export import gguf_scores
from potstill.models import pre_tokenizers
from potstill.models.chat import ChatTokenizer

Calls = dict[str, Any]
# Values of llama.cpp's enum llama_token_type.
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = range(1, 7)


def describe(checkpoint: Path, vocab_size: int, stop_ids: list[int]) -> Calls | None:
    """Return what to call on the converter's GGUFWriter: method -> argument.

    Args:
        checkpoint: a folder with tokenizer.json, tokenizer_config.json and a chat template.
        vocab_size: rows of the embedding; ids that the tokenizer lacks become unused tokens.
        stop_ids: ids that end an answer; GGUF has room for three of them.

    Returns:
        None where the tokenizer is of a kind that only the converter may know.

    Raises:
        InputError: a tokenizer that llama.cpp would not follow, or one with ids beyond the
            embedding.
    """
    tokenizer = files.read_json(checkpoint / "tokenizer.json")
    model = tokenizer["model"]
    if model["type"] != "BPE":
        return None
    if model.get("byte_fallback"):
        calls = _byte_fallback(tokenizer, vocab_size)
    else:
        name = pre_tokenizers.find_name(tokenizer)
        if name is None:
            return None
        calls = _byte_level(tokenizer, name, vocab_size)
    return calls | _special(ChatTokenizer(checkpoint), stop_ids)


def _byte_level(tokenizer: dict[str, Any], name: str, vocab_size: int) -> Calls:
    tokens, types = _tokens(tokenizer, vocab_size)
    merges = tokenizer["model"]["merges"]
    return {
        "add_tokenizer_model": "gpt2",
        "add_tokenizer_pre": name,
        "add_token_list": tokens,
        "add_token_types": types,
        "add_token_merges": [m if isinstance(m, str) else " ".join(m) for m in merges],
        "add_add_space_prefix": False,
    }


def _byte_fallback(tokenizer: dict[str, Any], vocab_size: int) -> Calls:
    tokens, types = _tokens(tokenizer, vocab_size)
    return {
        "add_tokenizer_model": "llama",
        "add_tokenizer_pre": "default",
        "add_token_list": tokens,
        "add_token_scores": gguf_scores.scores(tokenizer, tokens),
        "add_token_types": types,
        "add_add_space_prefix": gguf_scores.adds_space(tokenizer),
    }


def _special(chat: ChatTokenizer, stop_ids: list[int]) -> Calls:
    ids = {
        role: chat.tokenizer.token_to_id(entry["content"] if isinstance(entry, dict) else entry)
        for role in ("bos", "eos", "unk", "pad")
        if (entry := chat.config.get(f"{role}_token"))
    }
    calls: Calls = {f"add_{role}_token_id": index for role, index in ids.items()}
    others = [index for index in stop_ids if index != ids["eos"]]
    calls["add_eot_token_id"] = others[0] if others else ids["eos"]
    if len(others) > 1:
        calls["add_eom_token_id"] = others[1]
    plain = chat.tokenizer.encode("a", add_special_tokens=False).ids
    full = chat.tokenizer.encode("a").ids
    calls["add_add_bos_token"] = full[: -len(plain)] == [ids.get("bos")]
    calls["add_add_eos_token"] = full[len(plain) :] == [ids["eos"]]
    calls["add_chat_template"] = chat.template
    return calls


def _tokens(tokenizer: dict[str, Any], vocab_size: int) -> tuple[list[str], list[int]]:
    """Return every id's text and kind; special tokens in the text's own letters."""
    model = tokenizer["model"]
    texts = {index: token for token, index in model["vocab"].items()}
    added = {entry["id"]: entry for entry in tokenizer["added_tokens"]}
    largest = max(texts.keys() | added.keys())
    if largest >= vocab_size:
        raise InputError(
            f"the tokenizer has id {largest}, the embedding {vocab_size} rows: the checkpoint "
            "and the tokenizer are not of one model"
        )
    tokens, types = [], []
    for index in range(vocab_size):
        text = added[index]["content"] if index in added else texts.get(index, f"[PAD{index}]")
        tokens.append(text)
        if index in added:
            is_unknown = text == model.get("unk_token")
            special = _UNKNOWN if is_unknown else _CONTROL
            types.append(special if added[index]["special"] else _USER_DEFINED)
        elif model.get("byte_fallback") and gguf_scores.is_byte(text):
            types.append(_BYTE)
        else:
            types.append(_NORMAL if index in texts else _UNUSED)
    return tokens, types
