"""ONNX artefacts through ONNX Runtime on the CPU."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tokenizers

from potstill.errors import InputError
from potstill.runtime import artifact, pieces
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


class OnnxRuntime:
    """A loaded ONNX artefact; rows are decoded one after the other.

    Batches would need left padding and save little: decoding reads all weights for each token, and
    two cores are busy with one row already.
    """

    capabilities = CAPABILITIES

    def __init__(self, artefact: Path, *, threads: int, context: int) -> None:
        description = artifact.read(artefact)
        path = artefact / description["model_file"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises classes of its own for a damaged model
            text = " ".join(str(error).split())[:200]
            raise InputError(f"{path} cannot be loaded ({text}): export again") from None
        self._tokenizer = tokenizers.Tokenizer.from_file(str(artefact / "tokenizer.json"))
        self.stop_ids = frozenset(description["stop_ids"])
        self.vocab_size = int(description["vocab_size"])
        self._context = min(context, int(description["context"]))
        self._pieces = pieces.of_tokenizer(self._tokenizer)
        self._constraints = Constraints(artefact / "tokenizer.json", self.vocab_size, self.stop_ids)
        self._cache_names = [i.name for i in self._session.get_inputs()[2:]]
        shape = self._session.get_inputs()[2].shape
        self._empty = np.zeros((1, shape[1], 0, shape[3]), dtype=np.float32)

    def tokenize(self, text: str) -> list[int]:
        """Return the ids by the tokenizer.json inside the artefact."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def logits(self, ids: Sequence[int]) -> np.ndarray:
        """Return the float32 logits [T, V]."""
        self._check(ids)
        result: np.ndarray = self._run(ids, [self._empty] * len(self._cache_names))[0][0]
        return result

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
        cache: list[Any] = [self._empty] * len(self._cache_names)
        new = list(writer.request.prompt)
        while not writer.ended:
            logits, *cache = self._run(new, cache)
            yield writer.take(logits[0, -1])
            new = writer.ids[-1:]

    def generate(self, requests: Sequence[Request], *, done: Done | None = None) -> list[Answer]:
        """Return the answers in order; see `potstill.runtime.base`."""
        answers = []
        for place, request in enumerate(requests):
            answers.append(collect(list(self.stream(request))))
            if done is not None:
                done(place, answers[-1])
        return answers

    def close(self) -> None:
        """Free the model."""
        del self._session

    def _run(self, ids: Sequence[int], cache: list[Any]) -> list[Any]:
        past = cache[0].shape[2]
        inputs = {
            "input_ids": np.asarray([list(ids)], dtype=np.int64),
            "attention_mask": np.ones((1, past + len(ids)), dtype=np.int64),
            **dict(zip(self._cache_names, cache, strict=True)),
        }
        found: list[Any] = self._session.run(None, inputs)
        return found

    def _check(self, ids: Sequence[int]) -> None:
        if not ids:
            raise InputError("no ids were given: a prompt has at least one token")
        wrong = [index for index in ids if not 0 <= index < self.vocab_size]
        if wrong:
            raise InputError(f"id {wrong[0]} is outside the vocabulary of {self.vocab_size}")
        if len(ids) > self._context:
            raise InputError(f"{len(ids)} ids do not fit the context of {self._context}")


def load(artefact: Path, *, threads: int, context: int) -> OnnxRuntime:
    """Load an artefact whose files were verified."""
    return OnnxRuntime(artefact, threads=threads, context=context)
