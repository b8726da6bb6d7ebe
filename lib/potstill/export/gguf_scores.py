"""Merges of a BPE tokenizer with byte fallback (Llama 2, Mistral) as SentencePiece's scores.

tokenizers joins the pair of the lowest rank among the listed merges; llama.cpp joins the two
neighbours whose text is the piece of the highest score, leftmost first. The two agree where every
split of a piece into two pieces is a merge and the merges of one piece follow one another, as they
do in a tokenizer.json that was converted from SentencePiece; any other is refused.

Source: llama.cpp, `src/llama-vocab.cpp`, `llm_tokenizer_spm_session`; transformers,
`convert_slow_tokenizer.py`, `SentencePieceExtractor`.
"""

import re
from collections.abc import Sequence
from typing import Any

from potstill.errors import InputError

_MARK = "\u2581"  # stands for a space
_SPACES = {"type": "Replace", "pattern": {"String": " "}, "content": _MARK}
_PREPEND = {"type": "Prepend", "prepend": _MARK}
_ADVICE = "choose another model or format"


def is_byte(token: str) -> bool:
    """Say whether a token stands for one byte of a letter that has no piece."""
    return re.fullmatch("<0x[0-9A-F]{2}>", token) is not None


def scores(tokenizer: dict[str, Any], tokens: Sequence[str]) -> list[float]:
    """Return a score for each token, -rank of the piece among those that are merged.

    Raises:
        InputError: llama.cpp would join other pairs.
    """
    model = tokenizer["model"]
    found = {name: model[name] for name in ("dropout", "ignore_merges") if model.get(name)}
    if found:
        raise InputError(f"the tokenizer has byte fallback with {found}, llama.cpp not: {_ADVICE}")
    merges = [tuple(m.split(" ", 1) if isinstance(m, str) else m) for m in model["merges"]]
    ranks: dict[str, int] = {}
    last = ""
    for left, right in merges:
        piece = left + right
        if piece in ranks and piece != last:
            raise InputError(f"the merges of {piece!r} do not follow one another: {_ADVICE}")
        ranks.setdefault(piece, len(ranks))
        last = piece
    added = {entry["content"] for entry in tokenizer["added_tokens"]}
    whole = {piece for piece in model["vocab"] if piece not in added and not is_byte(piece)}
    known = set(merges)
    for piece in whole:
        for cut in range(1, len(piece)):
            pair = piece[:cut], piece[cut:]
            # llama.cpp begins with single letters, tokens or not
            if pair not in known and all(part in whole or len(part) == 1 for part in pair):
                raise InputError(
                    f"tokenizer.json does not merge {pair[0]!r} and {pair[1]!r}, llama.cpp would: "
                    f"{_ADVICE}"
                )
    return [-float(ranks[t]) if t in ranks else -float(len(ranks)) for t in tokens]


def adds_space(tokenizer: dict[str, Any]) -> bool:
    """Return whether llama.cpp shall put a space before a text, as tokenizer.json does.

    Mistral's `first` puts one before a text that does not begin with a special token; a rendered
    prompt begins with one, so there the answer is no. Metaspace's `always` spares a text that
    begins with a space, which llama.cpp does not, so it is refused.

    Raises:
        InputError: spaces are treated in a way that llama.cpp has not.
    """
    normalizer, steps = tokenizer.get("normalizer") or {}, tokenizer.get("pre_tokenizer")
    rules = normalizer.get("normalizers", [normalizer] if normalizer else [])
    if steps is None and rules in ([_PREPEND, _SPACES], [_SPACES]):
        return len(rules) == 2
    given = steps or {}
    if not rules and given.get("type") == "Metaspace" and given.get("split") is False:
        scheme = given.get("prepend_scheme")
        if given.get("replacement") == _MARK and scheme in ("first", "never"):
            return False
    raise InputError(
        f"tokenizer.json has normalizer {normalizer or None} and pre-tokenizer {steps}; with byte "
        f"fallback llama.cpp has only spaces written as {_MARK}: {_ADVICE}"
    )
