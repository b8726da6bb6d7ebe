"""What every runtime offers: from an artefact to token ids and logits."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np


class Runtime(Protocol):
    """A loaded artefact. T is the number of ids given, V the size of the vocabulary.

    All methods raise InputError for no ids, an id outside the vocabulary, or more ids than the
    context holds; generation ends quietly where the context is full.
    """

    stop_ids: frozenset[int]
    vocab_size: int

    def tokenize(self, text: str) -> list[int]:
        """Return the ids by the runtime's own tokenizer.

        Special tokens in the text are parsed, none are added.
        """
        ...

    def logits(self, ids: Sequence[int]) -> np.ndarray:
        """Return the float32 logits [T, V]: row t predicts the id after ids[t]."""
        ...

    def stream(self, ids: Sequence[int], *, max_tokens: int) -> Iterator[int]:
        """Yield the greedy continuation, ties to the lowest id; a stop id ends it unseen."""
        ...

    def generate(self, prompts: Sequence[Sequence[int]], *, max_tokens: int) -> list[list[int]]:
        """Return the greedy continuation of every prompt, without stop ids, in order.

        Prompts may share a batch, so logits may differ from `stream` in their last digits.
        """
        ...

    def close(self) -> None:
        """Free the model; no other method may be called afterwards."""
        ...


class RuntimeModule(Protocol):
    """A module of the registry: one for each format of artefact."""

    def load(self, artefact: Path, *, threads: int, context: int) -> Runtime:
        """Load an artefact whose files were verified."""
        ...
