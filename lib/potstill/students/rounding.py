"""What a quantised file will lose, before there is one: each tensor as llama.cpp would store it.

The numbers are ggml's own: its quantiser is called on every tensor with the type that
`sizes.stored_type` foresees, so a model that was rounded here computes what its file will.

Source: ggml `include/ggml.h`, ggml_quantize_chunk.

Dimensions: R rows, X values of one.
"""

import ctypes
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType

from potstill.loading.load import CausalLM
from potstill.students import sizes


@contextmanager
def rounded(
    model: CausalLM, quantisation: str, known: Mapping[str, np.ndarray] | None = None
) -> Iterator[None]:
    """Let a model compute with the weights that its file of a quantisation would hold.

    Args:
        model: float32; it has its own weights again at the end.
        quantisation: see `sizes.file_bytes`.
        known: how much each input of a matrix is used, as the quantiser will know it.
    """
    known = known or {}
    config = model.config.to_dict()
    kept = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    try:
        with torch.no_grad():
            for name, tensor in model.named_parameters():
                kind = sizes.stored_type(
                    name, list(tensor.shape), config, quantisation, important=bool(known)
                )
                made = round_trip(tensor.cpu().numpy(), kind, known.get(name))
                tensor.copy_(torch.from_numpy(made))
        yield
    finally:
        with torch.no_grad():
            for name, tensor in model.named_parameters():
                tensor.copy_(kept[name])


def round_trip(
    values_RX: np.ndarray, kind: str, importance_X: np.ndarray | None = None
) -> np.ndarray:
    """Return float32 values as a tensor of one of ggml's types gives them back.

    The converter writes float16 first, so that is where it begins.

    Args:
        values_RX: float32.
        kind: ggml's name of the type ("Q4_K").
        importance_X: of each column, float32; see `hints.importance`.
    """
    if kind == "F32":
        return values_RX
    if kind == "F16":
        return values_RX.astype(np.float16).astype(np.float32)
    from gguf.quants import dequantize

    data = quantised(values_RX, kind, importance_X)
    found: np.ndarray = dequantize(data, GGMLQuantizationType[kind])
    return found.reshape(values_RX.shape)


def quantised(
    values_RX: np.ndarray, kind: str, importance_X: np.ndarray | None = None
) -> np.ndarray:
    """Return a matrix as blocks of one of ggml's types, uint8 [R, bytes of a row].

    Args:
        values_RX: float32; rounded to float16 first, as the converter does.
        kind: see `round_trip`.
        importance_X: see `round_trip`.
    """
    half_RX = values_RX.astype(np.float16).astype(np.float32)
    rows, length = half_RX.shape
    block, size = sizes.TYPES[kind]
    data = np.empty((rows, length // block * size), dtype=np.uint8)
    source = np.ascontiguousarray(half_RX)
    written = _library().ggml_quantize_chunk(
        int(GGMLQuantizationType[kind]), source.ctypes.data, data.ctypes.data, 0, rows, length,
        importance_X.ctypes.data if importance_X is not None else None,
    )  # fmt: skip
    assert written == data.nbytes, f"ggml wrote {written} bytes of {kind}, not {data.nbytes}"
    return data


@cache
def _library() -> Any:  # noqa: ANN401 - ctypes.CDLL
    import llama_cpp
    from llama_cpp._ctypes_extensions import load_shared_library

    library = load_shared_library("ggml-base", Path(llama_cpp.__file__).parent / "lib")
    call, number = library.ggml_quantize_chunk, ctypes.c_int64
    call.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p,
                     number, number, number, ctypes.c_void_p]  # fmt: skip
    call.restype = ctypes.c_size_t
    return library
