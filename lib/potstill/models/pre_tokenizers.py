"""Pre-tokenizers of byte-level BPE: llama.cpp's names and the rules of tokenizer.json, both ways.

llama.cpp knows the rules by name only, so another name would tokenize differently without a word.

Source: llama.cpp, `src/llama-vocab.cpp`, and the models' own tokenizer.json.
"""

from typing import Any

from potstill.errors import InputError

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
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
    return [{**split, "invert": False}, {**BYTE_LEVEL, "use_regex": False}]


# llama.cpp's name of a pre-tokenizer -> (normalizer, steps) in tokenizer.json's own terms.
PRE_TOKENIZERS: dict[str, tuple[dict[str, Any] | None, list[dict[str, Any]]]] = {
    "smollm": (
        None,
        [{"type": "Digits", "individual_digits": True}, {**BYTE_LEVEL, "use_regex": True}],
    ),
    "qwen2": ({"type": "NFC"}, _split(_QWEN2_PATTERN)),
    "llama-bpe": (None, _split(_LLAMA3_PATTERN)),
    "tekken": (None, _split(_TEKKEN_PATTERN)),
}
# Those with which llama.cpp takes a word that is a token as it is, merges or not.
IGNORE_MERGES = frozenset({"llama-bpe", "tekken"})


def find_name(tokenizer: dict[str, Any]) -> str | None:
    """Return llama.cpp's name for the rules of a parsed tokenizer.json, None where none is known.

    Raises:
        InputError: the rules have a name, but the model's options are not those that go with it.
    """
    model = tokenizer["model"]
    rules = (tokenizer.get("normalizer"), _steps(tokenizer.get("pre_tokenizer")))
    for name, (normalizer, steps) in PRE_TOKENIZERS.items():
        if rules == (normalizer, [_relevant(step) for step in steps]):
            wanted = {"ignore_merges": True} if name in IGNORE_MERGES else {}
            options = ("byte_fallback", "ignore_merges", "dropout", "unk_token")
            found = {option: model[option] for option in options if model.get(option)}
            if found == wanted:
                return name
            raise InputError(
                f"the tokenizer has llama.cpp's pre-tokenizer {name} with {found or 'no options'}; "
                f"it goes with {wanted or 'no options'} there: choose another model or format"
            )
    return None


def _steps(pre_tokenizer: dict[str, Any] | None) -> list[dict[str, Any]]:
    if pre_tokenizer is None:
        return []
    inner = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    return [_relevant(step) for step in inner]


def _relevant(step: dict[str, Any]) -> dict[str, Any]:
    """Leave out what moves offsets only, not ids."""
    return {key: value for key, value in step.items() if key != "trim_offsets"}
