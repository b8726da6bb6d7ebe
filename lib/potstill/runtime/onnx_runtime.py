"""ONNX artefacts through ONNX Runtime on the CPU."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from potstill.errors import InputError
from potstill.models.chat import read_tokenizer
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
        if "cache" in description:
            raise InputError(
                f"a cache in {description['cache']} is stated, and an ONNX graph has its own: "
                "state none"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what it says as an error comes as an exception too
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises classes of its own for a damaged model
            raise InputError(
                f"{path} cannot be loaded ({_short(error, path)}): export again"
            ) from None
        self._tokenizer = read_tokenizer(artefact)
        self._path = path
        self.stop_ids = frozenset(description["stop_ids"])
        self.vocab_size = int(description["vocab_size"])
        self._context = min(context, int(description["context"]))
        self._pieces = pieces.of_tokenizer(self._tokenizer)
        self._constraints = Constraints(artefact / "tokenizer.json", self.vocab_size, self.stop_ids)
        inputs = {entry.name: entry for entry in self._session.get_inputs()}
        self._positions = "position_ids" in inputs
        parts = [entry for name, entry in inputs.items() if name.startswith(_PAST)]
        others = inputs.keys() - {entry.name for entry in parts} - {"position_ids"}
        if others != {"input_ids", "attention_mask"} or not parts:
            cache = f"{len(parts)} parts of a cache" if parts else "no cache"
            raise InputError(
                f"{path} takes {', '.join(sorted(others))} and {cache} ({_PAST}*); a decoder takes "
                "input_ids, attention_mask, maybe position_ids, and two parts a layer: export it "
                "as text-generation-with-past"
            )
        width = description.get("cache_width")
        self._empty = {entry.name: _empty(path, entry, width) for entry in parts}
        self._names = ["logits", *(name.replace(_PAST, "present.", 1) for name in self._empty)]
        outputs = {entry.name: entry.type for entry in self._session.get_outputs()}
        types = {inputs[name].type for name in others} | {outputs.get("logits")}
        if not outputs.keys() >= set(self._names) or not types <= {"tensor(int64)", *_DTYPES}:
            raise InputError(
                f"{path} gives {', '.join(sorted(outputs)[:4])}, of {_listed(types)}; ids of "
                "int64, logits of float or float16 and present.* run: export it again"
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
        try:
            logits, *cache = self._session.run(self._names, inputs)
        except Exception as error:  # a class of onnxruntime's own: an operator refuses its inputs
            raise InputError(
                f"{self._path} cannot be run ({_short(error, self._path)}): export again"
            ) from None
        return [logits.astype(np.float32, copy=False), *cache]

    def _check(self, ids: Sequence[int]) -> None:
        if not ids:
            raise InputError("no ids were given: a prompt has at least one token")
        wrong = [index for index in ids if not 0 <= index < self.vocab_size]
        if wrong:
            raise InputError(f"id {wrong[0]} is outside the vocabulary of {self.vocab_size}")
        if len(ids) > self._context:
            raise InputError(f"{len(ids)} ids do not fit the context of {self._context}")


def _empty(path: Path, entry: "onnxruntime.NodeArg", stated: int | None) -> np.ndarray:
    """Return the part of the cache that one input takes, of no tokens: [1, heads, 0, width].

    Args:
        path: the graph.
        entry: its input.
        stated: the width, for a graph that leaves it open.
    """
    shape = entry.shape
    heads, width = (shape[1], shape[3]) if len(shape) == 4 else (None, None)
    width = width if isinstance(width, int) else stated
    if not isinstance(heads, int) or not isinstance(width, int) or entry.type not in _DTYPES:
        raise InputError(
            f"{path}: the input {entry.name} is a {entry.type} of shape {shape}; "
            "[batch, heads, past, width] of float or float16 runs: export it again"
        )
    return np.zeros((1, heads, 0, width), _DTYPES[entry.type])


def _short(error: Exception, path: Path) -> str:
    """Return the end of what onnxruntime says: it begins with where it stood."""
    return " ".join(str(error).split()).replace(str(path), path.name)[-200:]


def _listed(types: set[str | None]) -> str:
    return ", ".join(sorted(str(kind) for kind in types))


def load(artefact: Path, *, threads: int, context: int) -> OnnxRuntime:
    """Load an artefact whose files were verified."""
    return OnnxRuntime(artefact, threads=threads, context=context)
