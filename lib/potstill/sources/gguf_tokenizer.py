"""Rebuild a Hugging Face tokenizer from the metadata of a GGUF file.

transformers' own conversion of a "gpt2" GGUF tokenizer drops the pre-tokenizer's rules and guesses
the special tokens (5.17.0 on SmolLM2: digits are no longer split one by one, the end token becomes
`<|im_start|>`), so the teacher would read text that it was never trained on. The rules here follow
llama.cpp's `tokenizer.ggml.pre` names, and the tests hold both tokenizers equal token by token.

Source: llama.cpp, `src/llama-vocab.cpp` (pre-tokenizer types) and the models' own tokenizer.json.
"""

import json
from pathlib import Path
from typing import Any

from potstill.errors import InputError

_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|"
_REST = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
_QWEN2_PATTERN = _CONTRACTIONS + r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*" + _REST
_LLAMA3_PATTERN = (
    _CONTRACTIONS + r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + _REST
)
_TEKKEN_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + _REST
)


def _split(pattern: str) -> list[dict[str, Any]]:
    """Return the steps that cut a text at the matches of a pattern and then write bytes."""
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated"}
    return [{**split, "invert": False}, {**_BYTE_LEVEL, "use_regex": False}]


# llama.cpp's name of a pre-tokenizer -> (normalizer, steps) in tokenizer.json's own terms.
PRE_TOKENIZERS: dict[str, tuple[dict[str, Any] | None, list[dict[str, Any]]]] = {
    "smollm": (
        None,
        [{"type": "Digits", "individual_digits": True}, {**_BYTE_LEVEL, "use_regex": True}],
    ),
    "qwen2": ({"type": "NFC"}, _split(_QWEN2_PATTERN)),
    "llama-bpe": (None, _split(_LLAMA3_PATTERN)),
    "tekken": (None, _split(_TEKKEN_PATTERN)),
}
# Those with which llama.cpp takes a word that is a token as it is, merges or not.
IGNORE_MERGES = frozenset({"llama-bpe", "tekken"})

# Values of llama.cpp's enum llama_token_type.
_CONTROL, _USER_DEFINED = 3, 4


def write_tokenizer(fields: dict[str, Any], out: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja from GGUF metadata.

    Args:
        fields: GGUF key -> value, `tokenizer.ggml.*` and `tokenizer.chat_template`.
        out: an existing checkpoint folder.

    Raises:
        InputError: the tokenizer's kind or pre-tokenizer is not one of those supported.
    """
    model = fields.get("tokenizer.ggml.model")
    pre = fields.get("tokenizer.ggml.pre")
    if model != "gpt2" or pre not in PRE_TOKENIZERS:
        raise InputError(
            f"the GGUF file has tokenizer {model}/{pre}; supported: gpt2 with "
            f"{', '.join(sorted(PRE_TOKENIZERS))}; use the model's Hugging Face folder instead"
        )
    normalizer, steps = PRE_TOKENIZERS[pre]
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    special = [
        (index, token)
        for index, (token, kind) in enumerate(zip(tokens, types, strict=True))
        if kind in (_CONTROL, _USER_DEFINED)
    ]
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": index,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": types[index] == _CONTROL,
            }
            for index, token in special
        ],
        "normalizer": normalizer,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "post_processor": None,
        "decoder": {**_BYTE_LEVEL, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: index for index, token in enumerate(tokens)},
            "merges": [merge.split(" ", 1) for merge in fields["tokenizer.ggml.merges"]],
        },
    }
    text = json.dumps(tokenizer, ensure_ascii=False)
    (out / "tokenizer.json").write_text(text, encoding="utf-8")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    names = {"bos": "bos", "eos": "eos", "unknown": "unk", "padding": "pad"}
    for name, role in names.items():
        index = fields.get(f"tokenizer.ggml.{name}_token_id")
        if index is not None:
            config[f"{role}_token"] = tokens[index]
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    template = fields.get("tokenizer.chat_template")
    if template:
        (out / "chat_template.jinja").write_text(template, encoding="utf-8")
