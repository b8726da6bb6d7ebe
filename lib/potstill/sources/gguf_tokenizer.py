"""Rebuild a Hugging Face tokenizer from the metadata of a GGUF file.

transformers' own conversion of a "gpt2" GGUF tokenizer drops the pre-tokenizer's rules and guesses
the special tokens (5.17.0 on SmolLM2: digits are no longer split one by one, the end token becomes
`<|im_start|>`), so the teacher would read text that it was never trained on. The rules here follow
llama.cpp's `tokenizer.ggml.pre` names, and the tests hold both tokenizers equal token by token.

Source: llama.cpp, `src/llama-vocab.cpp` (pre-tokenizer types) and the models' own tokenizer.json;
for SentencePiece, transformers' `SentencePieceExtractor`.
"""

import json
from typing import Any

from potstill.errors import InputError
from potstill.models.pre_tokenizers import BYTE_LEVEL, IGNORE_MERGES, PRE_TOKENIZERS

# Other names that llama.cpp has for the same rules.
_ALIASES = {"llama3": "llama-bpe", "llama-v3": "llama-bpe"}
# Values of llama.cpp's enum llama_token_type.
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED = 1, 2, 3, 4, 5


def tokenizer_files(fields: dict[str, Any]) -> dict[str, str]:
    """Return tokenizer.json, tokenizer_config.json and any chat_template.jinja by their names.

    Args:
        fields: GGUF key -> value, `tokenizer.ggml.*` and `tokenizer.chat_template`.

    Raises:
        InputError: the tokenizer's kind or pre-tokenizer is not one of those supported.
    """
    kind, pre = fields.get("tokenizer.ggml.model"), fields.get("tokenizer.ggml.pre")
    pre = _ALIASES.get(str(pre), pre)
    tokens = fields["tokenizer.ggml.tokens"]
    types = _types(fields)
    if kind == "llama":
        parts, add_bos = _sentencepiece(fields, _vocab(tokens, types)), True
    elif kind == "gpt2" and pre in PRE_TOKENIZERS and "tokenizer.ggml.merges" in fields:
        parts, add_bos = _byte_level(fields, str(pre), _vocab(tokens, types)), pre in IGNORE_MERGES
    else:
        raise InputError(
            f"the GGUF file has tokenizer {kind}/{pre}; supported: llama, and gpt2 with "
            f"{', '.join(sorted(PRE_TOKENIZERS))}; use the model's Hugging Face folder instead"
        )
    roles = _roles(fields, len(tokens))
    bos = roles.get("bos") if fields.get("tokenizer.ggml.add_bos_token", add_bos) else None
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added(tokens, types),
        "normalizer": parts["normalizer"],
        "pre_tokenizer": parts["pre_tokenizer"],
        "post_processor": None if bos is None else _first_token(tokens[bos], bos),
        "decoder": parts["decoder"],
        "model": parts["model"],
    }
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        **{f"{role}_token": tokens[index] for role, index in roles.items()},
    }
    texts = {
        "tokenizer.json": json.dumps(tokenizer, ensure_ascii=False),
        "tokenizer_config.json": json.dumps(config, indent=2),
    }
    template = fields.get("tokenizer.chat_template")
    return texts | ({"chat_template.jinja": template} if template else {})


def _types(fields: dict[str, Any]) -> list[int]:
    """Return the type of each token; lists of other lengths than the tokens are refused."""
    tokens: list[str] = fields["tokenizer.ggml.tokens"]
    types: list[int] = fields.get("tokenizer.ggml.token_type", [])
    scores = fields.get("tokenizer.ggml.scores", [])
    scored = fields.get("tokenizer.ggml.model") == "llama"
    if len(types) != len(tokens) or (scored and len(scores) != len(tokens)):
        raise InputError(
            f"the GGUF file has {len(tokens)} tokens, {len(types)} token types and {len(scores)} "
            "scores, which do not fit: use the model's Hugging Face folder"
        )
    return types


def _roles(fields: dict[str, Any], size: int) -> dict[str, int]:
    """Return the ids of the tokens that play a part; one outside the vocabulary is refused."""
    names = {"bos": "bos", "eos": "eos", "unknown": "unk", "padding": "pad"}
    found = {role: fields.get(f"tokenizer.ggml.{name}_token_id") for name, role in names.items()}
    ids = {role: index for role, index in found.items() if index is not None}
    wrong = [f"{role} {index}" for role, index in ids.items() if not 0 <= index < size]
    if wrong:
        raise InputError(f"the GGUF file names token {wrong[0]} of {size}: fetch it again")
    return ids


def _vocab(tokens: list[str], types: list[int]) -> dict[str, int]:
    """Return token -> id without the rows that only pad the embedding to a round number."""
    return {
        token: index
        for index, (token, kind) in enumerate(zip(tokens, types, strict=True))
        if not (kind == _UNUSED and token == f"[PAD{index}]")
    }


def _added(tokens: list[str], types: list[int]) -> list[dict[str, Any]]:
    """Return the tokens that are found in a text before anything else."""
    return [
        {
            "id": index,
            "content": token,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": types[index] != _USER_DEFINED,
        }
        for index, token in enumerate(tokens)
        if types[index] in (_UNKNOWN, _CONTROL, _USER_DEFINED)
    ]


def _first_token(token: str, index: int) -> dict[str, Any]:
    """Return the step that begins every text with a token, where special tokens are asked for."""
    first = {"SpecialToken": {"id": token, "type_id": 0}}
    text = [{"Sequence": {"id": name, "type_id": kind}} for kind, name in enumerate("AB")]
    return {
        "type": "TemplateProcessing",
        "single": [first, text[0]],
        "pair": [first, text[0], first, text[1]],
        "special_tokens": {token: {"id": token, "ids": [index], "tokens": [token]}},
    }


def _bpe(vocab: dict[str, int], merges: list[list[str]], **options: object) -> dict[str, Any]:
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        **options,
        "vocab": vocab,
        "merges": merges,
    }


def _byte_level(fields: dict[str, Any], pre: str, vocab: dict[str, int]) -> dict[str, Any]:
    normalizer, steps = PRE_TOKENIZERS[pre]
    merges = [merge.split(" ", 1) for merge in fields["tokenizer.ggml.merges"]]
    return {
        "normalizer": normalizer,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "decoder": {**BYTE_LEVEL, "use_regex": True},
        "model": _bpe(vocab, merges, ignore_merges=pre in IGNORE_MERGES),
    }


def _sentencepiece(fields: dict[str, Any], vocab: dict[str, int]) -> dict[str, Any]:
    """Return the parts of a BPE tokenizer with byte fallback, as Llama 2 and Mistral have it.

    SentencePiece joins the neighbours that give the piece of the highest score; so every split of
    a piece into two is a merge, ranked by the piece's score.
    """
    scores, unknown = fields["tokenizer.ggml.scores"], fields.get("tokenizer.ggml.unknown_token_id")
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    whole = {token: index for token, index in vocab.items() if types[index] == _NORMAL}
    splits = [
        (scores[index], index, piece[:cut], piece[cut:])
        for piece, index in whole.items()
        for cut in range(1, len(piece))
        if piece[:cut] in whole and piece[cut:] in whole
    ]
    # the stable order of splits of one piece is that of transformers' converter: shortest first
    splits.sort(key=lambda split: (-split[0], split[1]))
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    prefix = fields.get("tokenizer.ggml.add_space_prefix", True)
    return {
        "normalizer": {
            "type": "Sequence",
            "normalizers": [{"type": "Prepend", "prepend": "▁"}, spaces] if prefix else [spaces],
        },
        "pre_tokenizer": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                *([{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if prefix else []),
            ],
        },
        "model": _bpe(
            vocab,
            [[left, right] for _, _, left, right in splits],
            unk_token=None if unknown is None else tokens[unknown],
            fuse_unk=True,
            byte_fallback=True,
        ),
    }
