"""Arrays by a matrix's name in a file beside a checkpoint."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from potstill.errors import InputError

Arrays = dict[str, np.ndarray]


def read(path: Path, fits: Callable[[str, np.ndarray], bool]) -> Arrays:
    """Return the arrays of a file.

    Args:
        path: a safetensors file.
        fits: says whether an array is of the checkpoint.

    Raises:
        InputError: it is damaged, or an array does not fit.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found: Arrays = load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path} is damaged ({error}): make the checkpoint again") from None
    for name, values in found.items():
        if not fits(name, values):
            raise InputError(f"{path}: {name} is not of this checkpoint: make it again")
    return found


def write(path: Path, arrays: Arrays) -> None:
    """Write arrays into a file."""
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(values) for name, values in arrays.items()}, path)
