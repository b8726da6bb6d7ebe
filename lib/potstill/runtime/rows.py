"""Runtimes that decode rows one after the other: all but the step from ids to logits.

Batches would need left padding and save little: decoding reads all weights for each token, and two
cores are busy with one row already.

Dimensions: T ids, V vocabulary.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from potstill.errors import InputError
from potstill.models.chat import read_tokenizer
from potstill.runtime import pieces
from potstill.runtime.base import Capabilities, Done
from potstill.runtime.constraint import Constraints
from potstill.runtime.request import Answer, Chunk, Request, collect
from potstill.runtime.writer import Writer

CAPABILITIES = Capabilities(
    batches=False,
    prefixes=False,
    logits=True,
    logprobs=True,
    sampling=True,
    stops=True,
    constraint=True,
)


class RowRuntime(ABC):
    """A loaded artefact; implements `potstill.runtime.base.Runtime` but for `close`.

    Args:
        artefact: whose tokenizer.json is read.
        description: its artifact.json.
        context: ids of prompt and answer together.
    """

    capabilities = CAPABILITIES

    def __init__(self, artefact: Path, description: Mapping[str, Any], context: int) -> None:
        self._tokenizer = read_tokenizer(artefact)
        self.stop_ids = frozenset(description["stop_ids"])
        self.vocab_size = int(description["vocab_size"])
        self._context = min(context, int(description["context"]))
        self._pieces = pieces.of_tokenizer(self._tokenizer)
        self._constraints = Constraints(artefact / "tokenizer.json", self.vocab_size, self.stop_ids)

    @abstractmethod
    def _read(
        self,
        ids: Sequence[int],
        cache: Any,  # noqa: ANN401 - the runtime's own
        *,
        last: bool,
    ) -> tuple[np.ndarray, Any]:
        """Return the float32 logits [T, V], or of the last id alone [1, V], and the cache.

        Args:
            ids: at least one.
            cache: what an earlier call returned, which read the ids before; None for none.
            last: whether only the last id's logits are wanted.
        """

    def tokenize(self, text: str) -> list[int]:
        """Return the ids by the tokenizer.json inside the artefact."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def logits(self, ids: Sequence[int]) -> np.ndarray:
        """Return the float32 logits [T, V]."""
        self._check(ids)
        return self._read(ids, None, last=False)[0]

    def stream(self, request: Request) -> Iterator[Chunk]:
        """Yield an answer as it is made; see `potstill.runtime.base`."""
        self._check(request.prompt)
        writer = Writer(
            request,
            room=self._context - len(request.prompt),
            stop_ids=self.stop_ids,
            pieces=self._pieces,
            mask=self._constraints.mask(request.constraint),
        )
        return self._stream(writer)

    def _stream(self, writer: Writer) -> Iterator[Chunk]:
        yield from writer.chunks  # an answer without room for any id has its end already
        cache, new = None, list(writer.request.prompt)
        while not writer.ended:
            logits_1V, cache = self._read(new, cache, last=True)
            yield writer.take(logits_1V[0])
            new = writer.ids[-1:]

    def generate(self, requests: Sequence[Request], *, done: Done | None = None) -> list[Answer]:
        """Return the answers in order; see `potstill.runtime.base`."""
        answers = []
        for place, request in enumerate(requests):
            answers.append(collect(list(self.stream(request))))
            if done is not None:
                done(place, answers[-1])
        return answers

    def _check(self, ids: Sequence[int]) -> None:
        if not ids:
            raise InputError("no ids were given: a prompt has at least one token")
        wrong = [index for index in ids if not 0 <= index < self.vocab_size]
        if wrong:
            raise InputError(f"id {wrong[0]} is outside the vocabulary of {self.vocab_size}")
        if len(ids) > self._context:
            raise InputError(f"{len(ids)} ids do not fit the context of {self._context}")
