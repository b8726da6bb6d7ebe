"""Matrices that are quantised already, as bytes of a GGUF file: beside a checkpoint, for export.

A method that chooses codes itself (`compress.gptq`) writes here what llama.cpp's quantiser would
not find again. The checkpoint's weights are what these blocks hold.
"""

from pathlib import Path

import numpy as np

from potstill.errors import InputError
from potstill.hints import tensor_types
from potstill.models import checkpoint

NAME = "blocks.safetensors"
Blocks = dict[str, np.ndarray]  # a matrix's name -> uint8 [rows, bytes of a row]


def read(folder: Path) -> Blocks:
    """Return what lies beside a checkpoint; nothing where nothing was quantised.

    Raises:
        InputError: it is damaged, or of another model.
    """
    path = folder / NAME
    if not path.exists():
        return {}
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found: Blocks = load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path} is damaged ({error}): make the checkpoint again") from None
    shapes, types = checkpoint.shapes(folder), tensor_types.read(folder)
    for name, rows in found.items():
        fits = name in types and rows.dtype == np.uint8 and len(rows) == shapes[name][0]
        if not fits:
            raise InputError(f"{path}: {name} is not of this checkpoint: make it again")
    return found


def write(folder: Path, blocks: Blocks) -> None:
    """Write them beside a checkpoint."""
    from safetensors.numpy import save_file

    save_file(blocks, folder / NAME)
