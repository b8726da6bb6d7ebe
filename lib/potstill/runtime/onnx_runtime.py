"""ONNX artefacts through ONNX Runtime on the CPU."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from potstill.errors import InputError
from potstill.runtime import artifact, rows

CAPABILITIES = rows.CAPABILITIES
_PAST = "past_key_values."
_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class OnnxRuntime(rows.RowRuntime):
    """A loaded ONNX artefact."""

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
        super().__init__(artefact, description, context)
        self._path = path
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

    def close(self) -> None:
        """Free the model."""
        del self._session

    def _read(
        self, ids: Sequence[int], cache: list[Any] | None, *, last: bool
    ) -> tuple[np.ndarray, list[Any]]:
        cache = cache or list(self._empty.values())
        past = cache[0].shape[2]
        inputs = {
            "input_ids": np.asarray([list(ids)], dtype=np.int64),
            "attention_mask": np.ones((1, past + len(ids)), dtype=np.int64),
            **dict(zip(self._empty, cache, strict=True)),
        }
        if self._positions:
            inputs["position_ids"] = np.arange(past, past + len(ids), dtype=np.int64)[None]
        try:
            logits, *new = self._session.run(self._names, inputs)
        except Exception as error:  # a class of onnxruntime's own: an operator refuses its inputs
            raise InputError(
                f"{self._path} cannot be run ({_short(error, self._path)}): export again"
            ) from None
        part = slice(-1, None) if last else slice(None)
        return logits[0, part].astype(np.float32, copy=False), new


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
