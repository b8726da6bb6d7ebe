"""How much each input of a matrix is used: beside a checkpoint, for whoever rounds its weights.

An error of a weight counts by what it is multiplied with, so the squares of a matrix's inputs, in
the mean over real tokens, say which weights of a row to round with more care. llama.cpp's
quantiser takes them ("imatrix"); `compress.importance` measures them.
"""

from pathlib import Path

import numpy as np

from potstill.errors import InputError
from potstill.models import checkpoint

NAME = "importance.safetensors"
Importance = dict[str, np.ndarray]  # a matrix's name -> float32 [inputs], none below 0


def read(folder: Path) -> Importance:
    """Return what lies beside a checkpoint; nothing where none was measured.

    Raises:
        InputError: it is damaged, or of another model.
    """
    path = folder / NAME
    if not path.exists():
        return {}
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found: Importance = load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path} is damaged ({error}): make the checkpoint again") from None
    shapes = checkpoint.shapes(folder)
    for name, values in found.items():
        fits = name in shapes and values.dtype == np.float32 and values.shape == (shapes[name][-1],)
        if not fits or not np.isfinite(values).all() or (values < 0).any():
            raise InputError(f"{path}: {name} is not of this checkpoint: make it again")
    return found


def write(folder: Path, importance: Importance) -> None:
    """Write it beside a checkpoint."""
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(x, np.float32) for name, x in importance.items()},
              folder / NAME)  # fmt: skip
