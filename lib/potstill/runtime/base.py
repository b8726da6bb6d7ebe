"""What every runtime offers: from an artefact to token ids, logits and answers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from potstill.runtime.request import Answer, Chunk, Request

Done = Callable[[int, Answer], None]  # is given the place of a request, and its answer


@dataclass(frozen=True)
class Capabilities:
    """What a runtime can do, so that a caller can ask before it loads anything.

    Attributes:
        batches: several answers are made in one step of the model, which is faster.
        prefixes: what prompts of one call have in common at their beginning is read once.
        logits: of every position of a given text.
        logprobs: of the ids of an answer.
        sampling: temperature, top-k, top-p and seed.
        stops: texts that end an answer.
        constraint: answers by a JSON schema or a grammar.
    """

    batches: bool
    prefixes: bool
    logits: bool
    logprobs: bool
    sampling: bool
    stops: bool
    constraint: bool


class Runtime(Protocol):
    """A loaded artefact. T is the number of ids given, V the size of the vocabulary.

    All methods raise InputError for no ids, an id outside the vocabulary, or more ids than the
    context holds; an answer ends with the finish `context` where that is full.
    """

    capabilities: Capabilities
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

    def stream(self, request: Request) -> Iterator[Chunk]:
        """Yield an answer as it is made; the last chunk, and no other, has a finish."""
        ...

    def generate(self, requests: Sequence[Request], *, done: Done | None = None) -> list[Answer]:
        """Return the answers in order; `done` is called with each of them as soon as it ends.

        Requests may share a batch, so logits may differ from `stream` in their last digits.
        """
        ...

    def close(self) -> None:
        """Free the model and its memory; no other method may be called afterwards."""
        ...


class RuntimeModule(Protocol):
    """A module of the registry: one for each format of artefact."""

    CAPABILITIES: Capabilities

    def load(self, artefact: Path, *, threads: int, context: int) -> Runtime:
        """Load an artefact whose files were verified."""
        ...
