"""The map by which a student with a cut vocabulary drafts for the model that it was cut from.

A draft model proposes some tokens, the target reads them in one pass and keeps those that it would
have written (speculative decoding): what is written stays the target's. Both must speak of the same
tokens. Runtimes that know drafts of fewer ids (vLLM, SGLang, TensorRT-LLM) read two tensors, named
as EAGLE-3's checkpoints have them:

    d2t  int64, one a draft id: what to add to it for the target's id
    t2d  bool, one a target id: whether the draft can write it

What the draft cannot write it must still read: `spelled` has the draft's ids of such a target id,
by the merges that the draft kept.

Sources: Leviathan et al. 2023 (arXiv:2211.17192) for speculative decoding; Li et al. 2025
(EAGLE-3, arXiv:2503.01840) and vLLM `vllm/model_executor/models/llama_eagle3.py` for the tensors.

Dimensions: D draft ids, V target ids.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from potstill import files
from potstill.errors import InputError
from potstill.models.chat import read_tokenizer, token_texts


@dataclass(frozen=True)
class DraftMap:
    """Which ids of a target a draft can write, and how it reads the others.

    Attributes:
        d2t: int64 [D], target id less draft id.
        t2d: bool [V], V the rows of the target's embedding.
        spelled: target id that the draft lacks -> the draft's ids of its text, none of a row
            without one.
    """

    d2t: np.ndarray
    t2d: np.ndarray
    spelled: Mapping[int, Sequence[int]]

    def to_target(self, ids: Sequence[int]) -> list[int]:
        """Return the target's ids of what a draft wrote."""
        return [int(one + self.d2t[one]) for one in ids]

    def to_draft(self, ids: Sequence[int]) -> list[int]:
        """Return what a draft reads for the target's ids."""
        own = {target: draft for draft, target in enumerate(self.d2t + np.arange(len(self.d2t)))}
        found: list[int] = []
        for one in ids:
            found += [own[one]] if one in own else self.spelled[one]
        return found


def draft_map(draft: Path, target: Path) -> DraftMap:
    """Return the map between the tokenizers of two folders.

    Raises:
        InputError: the draft's vocabulary is no cut of the target's.
    """
    ours, theirs = (token_texts(folder) for folder in (draft, target))
    ids = {text: index for index, text in theirs.items()}
    strange = [text for text in ours.values() if text not in ids]
    if strange:
        raise InputError(
            f"{len(strange)} of {len(ours)} ids of {draft} are none of {target}'s, such as "
            f"{strange[0]!r}: a draft needs its target's vocabulary, or a cut of it"
        )
    d2t = np.array([ids[ours[index]] - index for index in range(len(ours))], dtype=np.int64)
    config = target / "config.json"  # an embedding may have more rows than there are texts
    rows = files.read_json(config)["vocab_size"] if config.exists() else max(theirs) + 1
    t2d = np.zeros(rows, dtype=np.bool_)
    t2d[d2t + np.arange(len(ours))] = True
    model = read_tokenizer(draft).model
    spelled = {
        index: [token.id for token in model.tokenize(theirs.get(index, ""))]
        for index in np.flatnonzero(~t2d).tolist()
    }
    return DraftMap(d2t, t2d, spelled)


def write(found: DraftMap, path: Path) -> None:
    """Write `d2t` and `t2d` as safetensors, and what must be spelled beside them.

    `spelled_ids` (int64) has the draft's ids of every target id that it lacks, in the order of
    these; `spelled_ends` (int64) where each one ends.
    """
    from safetensors.numpy import save_file

    parts = [found.spelled[index] for index in sorted(found.spelled)]
    ids, ends = [one for part in parts for one in part], np.cumsum([len(part) for part in parts])
    tensors = {
        "d2t": found.d2t,
        "t2d": found.t2d,
        "spelled_ids": np.array(ids, dtype=np.int64),
        "spelled_ends": ends.astype(np.int64),
    }
    save_file(tensors, str(path))


def accepted(agrees: Sequence[bool], length: int) -> list[int]:
    """Return how many drafted tokens each pass of the target keeps, for an answer written greedily.

    A drafted token is kept while all before it were the target's own, so whether the draft agrees
    at every place of the answer says all: after each run of agreements the target writes one token
    itself.

    Args:
        agrees: for each token of the target's answer, whether the draft would have written it.
        length: tokens that are drafted for a pass.
    """
    passes, at = [], 0
    while at < len(agrees):
        kept = 0
        while kept < length and at + kept < len(agrees) and agrees[at + kept]:
            kept += 1
        passes.append(kept)
        at += kept + 1
    return passes
