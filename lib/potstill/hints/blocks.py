"""Matrices that are quantised already, as bytes of a GGUF file: beside a checkpoint, for export.

A method that chooses codes itself (`compress.gptq`) writes here what llama.cpp's quantiser would
not find again. The checkpoint's weights are what these blocks hold.

Dimensions: R rows, X values of one, n bytes of one.
"""

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import dequantize

from potstill.hints import arrays, tensor_types
from potstill.hints.arrays import Arrays
from potstill.models import checkpoint

NAME = "blocks.safetensors"
Blocks = Arrays  # uint8 [rows, bytes of a row]


def read(folder: Path) -> Blocks:
    """Return what lies beside a checkpoint; nothing where nothing was quantised.

    Raises:
        InputError: it is damaged, or of another model.
    """
    if not (folder / NAME).exists():
        return {}
    shapes, types = checkpoint.shapes(folder), tensor_types.read(folder)

    def fits(name: str, rows: np.ndarray) -> bool:
        return name in types and rows.dtype == np.uint8 and len(rows) == shapes[name][0]

    return arrays.read(folder / NAME, fits)


def values(blocks_Rn: np.ndarray, kind: str) -> np.ndarray:
    """Return what the blocks of a matrix hold, float32 [R, X].

    Args:
        blocks_Rn: uint8.
        kind: ggml's name of their type ("Q4_K").
    """
    found: np.ndarray = dequantize(blocks_Rn, GGMLQuantizationType[kind])
    return found


def write(folder: Path, blocks: Blocks) -> None:
    """Write them beside a checkpoint."""
    arrays.write(folder / NAME, blocks)
