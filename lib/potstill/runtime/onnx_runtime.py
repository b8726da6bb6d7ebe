"""ONNX artefacts through ONNX Runtime on the CPU."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tokenizers

from potstill.errors import InputError
from potstill.runtime import artifact


class OnnxRuntime:
    """A loaded ONNX artefact; rows are decoded one after the other.

    Batches would need left padding and save little: decoding reads all weights for each token, and
    two cores are busy with one row already.
    """

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

    def stream(self, ids: Sequence[int], *, max_tokens: int) -> Iterator[int]:
        """Yield the greedy continuation, ties to the lowest id; a stop id ends it unseen."""
        self._check(ids)
        return self._stream(list(ids), min(max_tokens, self._context - len(ids)))

    def _stream(self, ids: list[int], room: int) -> Iterator[int]:
        cache: list[Any] = [self._empty] * len(self._cache_names)
        new = ids
        for _ in range(room):
            logits, *cache = self._run(new, cache)
            token = int(logits[0, -1].argmax())
            if token in self.stop_ids:
                return
            yield token
            new = [token]

    def generate(self, prompts: Sequence[Sequence[int]], *, max_tokens: int) -> list[list[int]]:
        """Return the greedy continuation of every prompt, without stop ids, in order."""
        return [list(self.stream(ids, max_tokens=max_tokens)) for ids in prompts]

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
