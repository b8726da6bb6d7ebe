"""A Hugging Face byte-level BPE tokenizer in the terms of GGUF's metadata.

llama.cpp knows pre-tokenizers by name only, so the configuration must be one that it has; an
unknown one is refused, because any other name would tokenize differently without a word.
What llama.cpp does not do: Unicode normalisation. Qwen2's tokenizer composes letters first (NFC),
so a text with decomposed accents gets other ids there, from every converter.

Source: llama.cpp, `convert_hf_to_gguf.py`, `get_vocab_base` and `gguf-py/gguf/vocab.py`.
"""

from pathlib import Path
from typing import Any

from gguf import GGUFWriter, TokenType

from potstill import files
from potstill.errors import InputError
from potstill.models.chat import ChatTokenizer
from potstill.sources.gguf_tokenizer import PRE_TOKENIZERS


def pre_tokenizer_name(tokenizer: dict[str, Any]) -> str:
    """Return llama.cpp's name for the pre-tokenizer of a parsed tokenizer.json.

    Raises:
        InputError: not byte-level BPE, or no name stands for exactly these rules.
    """
    model = tokenizer["model"]
    options = ("byte_fallback", "ignore_merges", "dropout", "unk_token")
    found = {name: model[name] for name in options if model.get(name)}
    if model["type"] != "BPE" or found:
        raise InputError(
            f"tokenizer model {model['type']} with {found or 'no options'}: GGUF export supports "
            "plain byte-level BPE; choose a teacher with such a tokenizer"
        )
    rules = (tokenizer.get("normalizer"), _steps(tokenizer.get("pre_tokenizer")))
    for name, (normalizer, steps) in PRE_TOKENIZERS.items():
        if rules == (normalizer, [_relevant(step) for step in steps]):
            return name
    raise InputError(
        f"pre-tokenizer {rules[1]} with normalizer {rules[0]} has no name in this GGUF export; "
        f"supported: those of {', '.join(sorted(PRE_TOKENIZERS))}; add it to PRE_TOKENIZERS if "
        "llama.cpp has it"
    )


def _steps(pre_tokenizer: dict[str, Any] | None) -> list[dict[str, Any]]:
    if pre_tokenizer is None:
        return []
    inner = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    return [_relevant(step) for step in inner]


def _relevant(step: dict[str, Any]) -> dict[str, Any]:
    """Leave out what moves offsets only, not ids."""
    return {key: value for key, value in step.items() if key != "trim_offsets"}


def add_vocabulary(writer: GGUFWriter, checkpoint: Path, vocab_size: int) -> None:
    """Add the tokenizer of a checkpoint to a GGUF file's metadata.

    Args:
        writer: of a file whose header is not yet written.
        checkpoint: a folder with tokenizer.json, tokenizer_config.json and a chat template.
        vocab_size: rows of the embedding; ids that the tokenizer lacks become unused tokens.

    Raises:
        InputError: an unsupported tokenizer, or one with ids beyond the embedding.
    """
    tokenizer = files.read_json(checkpoint / "tokenizer.json")
    chat = ChatTokenizer(checkpoint)
    tokens, types = _tokens(tokenizer, vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer_name(tokenizer))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    merges = tokenizer["model"]["merges"]
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    ids = {
        role: chat.tokenizer.token_to_id(entry["content"] if isinstance(entry, dict) else entry)
        for role in ("bos", "eos", "unk", "pad")
        if (entry := chat.config.get(f"{role}_token"))
    }
    add = {"bos": writer.add_bos_token_id, "eos": writer.add_eos_token_id,
           "unk": writer.add_unk_token_id, "pad": writer.add_pad_token_id}  # fmt: skip
    for role, index in ids.items():
        add[role](index)
    writer.add_eot_token_id(ids["eos"])
    plain = chat.tokenizer.encode("a", add_special_tokens=False).ids
    full = chat.tokenizer.encode("a").ids
    writer.add_add_bos_token(full[: -len(plain)] == [ids.get("bos")])
    writer.add_add_eos_token(full[len(plain) :] == [ids["eos"]])
    writer.add_add_space_prefix(False)
    writer.add_chat_template(chat.template)


def _tokens(tokenizer: dict[str, Any], vocab_size: int) -> tuple[list[str], list[TokenType]]:
    """Return every id's text and kind; special tokens in the text's own letters."""
    texts = {index: token for token, index in tokenizer["model"]["vocab"].items()}
    added = {entry["id"]: entry for entry in tokenizer["added_tokens"]}
    largest = max(texts.keys() | added.keys())
    if largest >= vocab_size:
        raise InputError(
            f"the tokenizer has id {largest}, the embedding {vocab_size} rows: the checkpoint "
            "and the tokenizer are not of one model"
        )
    tokens, types = [], []
    for index in range(vocab_size):
        if index in added:
            tokens.append(added[index]["content"])
            special = added[index]["special"]
            types.append(TokenType.CONTROL if special else TokenType.USER_DEFINED)
        else:
            tokens.append(texts.get(index, f"[PAD{index}]"))
            types.append(TokenType.NORMAL if index in texts else TokenType.UNUSED)
    return tokens, types
