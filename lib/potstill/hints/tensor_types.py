"""Which of ggml's types each matrix shall have in a GGUF file: beside a checkpoint, for its export.

`compress.mixed` chooses them; quantisation `stated` of GGUF stores a checkpoint so.
"""

from pathlib import Path

from potstill import files
from potstill.errors import InputError
from potstill.models import checkpoint

NAME = "tensor_types.json"
STATED = "stated"  # the quantisation by which a checkpoint is stored so
Types = dict[str, str]  # a matrix's name -> ggml's name of a type ("Q5_K")


def read(folder: Path) -> Types:
    """Return what lies beside a checkpoint: a type for each of its matrices.

    Raises:
        InputError: there is none, or it is of another model.
    """
    path = folder / NAME
    if not path.exists():
        raise InputError(
            f"{folder} says nothing of its matrices' types, which quantisation stated asks for: "
            "choose them by `compressed` (method mixed), or take another quantisation"
        )
    found: Types = files.read_json(path)
    matrices = {name for name, shape in checkpoint.shapes(folder).items() if len(shape) == 2}
    if set(found) != matrices:
        other = min(set(found) ^ matrices)
        raise InputError(f"{path} is not of this checkpoint, for one {other}: make it again")
    return found


def write(folder: Path, types: Types) -> None:
    """Write it beside a checkpoint."""
    files.write_json(folder / NAME, types)
