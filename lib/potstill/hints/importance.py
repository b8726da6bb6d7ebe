"""How much each input of a matrix is used: beside a checkpoint, for whoever rounds its weights.

An error of a weight counts by what it is multiplied with, so the squares of a matrix's inputs, in
the mean over real tokens, say which weights of a row to round with more care. llama.cpp's
quantiser takes them ("imatrix"); `compress.importance` measures them.
"""

from pathlib import Path

import numpy as np

from potstill.hints import arrays
from potstill.hints.arrays import Arrays
from potstill.models import checkpoint

NAME = "importance.safetensors"
Importance = Arrays  # float32 [inputs], none below 0


def read(folder: Path) -> Importance:
    """Return what lies beside a checkpoint; nothing where none was measured.

    Raises:
        InputError: it is damaged, or of another model.
    """
    if not (folder / NAME).exists():
        return {}
    shapes = checkpoint.shapes(folder)

    def fits(name: str, values: np.ndarray) -> bool:
        one_each = name in shapes and values.shape == (shapes[name][-1],)
        known = values.dtype == np.float32 and bool(np.isfinite(values).all())
        return one_each and known and bool((values >= 0).all())

    return arrays.read(folder / NAME, fits)


def write(folder: Path, importance: Importance) -> None:
    """Write it beside a checkpoint."""
    arrays.write(folder / NAME, importance)
