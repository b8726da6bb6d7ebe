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
_PAST = "past_key_values."
_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


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
        inputs = {entry.name: entry for entry in self._session.get_inputs()}
        self._empty = {name: _empty(i) for name, i in inputs.items() if name.startswith(_PAST)}
        self._positions = "position_ids" in inputs
        others = inputs.keys() - self._empty.keys() - {"position_ids"}
        if others != {"input_ids", "attention_mask"} or not self._empty:
            raise InputError(
                f"{path} takes {', '.join(sorted(others))} and {len(self._empty)} parts of a cache "
                f"({_PAST}*); a decoder takes input_ids, attention_mask, maybe position_ids, and "
                "two parts a layer: export it as text-generation-with-past"
            )

    def tokenize(self, text: str) -> list[int]:
        """Return the ids by the tokenizer.json inside the artefact."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def logits(self, ids: Sequence[int]) -> np.ndarray:
        """Return the float32 logits [T, V]."""
        self._check(ids)
        result: np.ndarray = self._run(ids, list(self._empty.values()))[0][0]
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
        cache: list[Any] = list(self._empty.values())
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
            **dict(zip(self._empty, cache, strict=True)),
        }
        if self._positions:
            inputs["position_ids"] = np.arange(past, past + len(ids), dtype=np.int64)[None]
        names = ["logits", *(name.replace(_PAST, "present.", 1) for name in self._empty)]
        logits, *cache = self._session.run(names, inputs)
        return [logits.astype(np.float32, copy=False), *cache]

    def _check(self, ids: Sequence[int]) -> None:
        if not ids:
            raise InputError("no ids were given: a prompt has at least one token")
        wrong = [index for index in ids if not 0 <= index < self.vocab_size]
        if wrong:
            raise InputError(f"id {wrong[0]} is outside the vocabulary of {self.vocab_size}")
        if len(ids) > self._context:
            raise InputError(f"{len(ids)} ids do not fit the context of {self._context}")


def _empty(entry: "onnxruntime.NodeArg") -> np.ndarray:
    """Return the part of the cache that one input takes, of no tokens: [1, heads, 0, width]."""
    shape = entry.shape
    if len(shape) != 4 or not isinstance(shape[1], int) or not isinstance(shape[3], int):
        raise InputError(
            f"the input {entry.name} has shape {shape}; [batch, heads, past, width] runs"
        )
    return np.zeros((1, shape[1], 0, shape[3]), _DTYPES.get(entry.type, np.float32))


def load(artefact: Path, *, threads: int, context: int) -> OnnxRuntime:
    """Load an artefact whose files were verified."""
    return OnnxRuntime(artefact, threads=threads, context=context)
