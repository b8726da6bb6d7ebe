"""Matrices that are quantised already, as bytes of a GGUF file: beside a checkpoint, for export.

A method that chooses codes itself (`compress.gptq`) writes here what llama.cpp's quantiser would
not find again. The checkpoint's weights are what these blocks hold.
"""

from pathlib import Path

import numpy as np

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


def write(folder: Path, blocks: Blocks) -> None:
    """Write them beside a checkpoint."""
    arrays.write(folder / NAME, blocks)
