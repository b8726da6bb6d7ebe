"""Read and write Hugging Face checkpoint folders without loading a model class."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potstill import files
from potstill.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import torch

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
SIDE_FILES = (*TOKENIZER_FILES, "generation_config.json", "origin.json")


def read_config(folder: Path) -> dict[str, Any]:
    """Return config.json of a checkpoint folder."""
    config: dict[str, Any] = files.read_json(folder / "config.json")
    return config


def shapes(folder: Path) -> dict[str, list[int]]:
    """Return the shape of every tensor, read from the headers alone.

    Raises:
        InputError: there are no safetensors in the folder, or one of them is damaged.
    """
    from safetensors import SafetensorError, safe_open

    found: dict[str, list[int]] = {}
    for path in _weights(folder):
        try:
            with safe_open(path, framework="numpy") as file:
                found |= {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise InputError(f"{path} is damaged ({error}): fetch it again") from None
    return found


def _weights(folder: Path) -> list[Path]:
    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        raise InputError(f"{folder} holds no .safetensors file: it is not a checkpoint")
    return paths


def count_parameters(folder: Path) -> int:
    """Return the number of stored weights; a tied head counts once."""
    total = 0
    for shape in shapes(folder).values():
        size = 1
        for axis in shape:
            size *= axis
        total += size
    return total


def read_arrays(folder: Path) -> dict[str, "np.ndarray"]:
    """Return all tensors of a checkpoint in their stored dtype (bfloat16 by ml_dtypes)."""
    from safetensors.numpy import load_file

    arrays: dict[str, np.ndarray] = {}
    for path in _weights(folder):
        arrays |= load_file(path)
    return arrays


def read_state(folder: Path) -> dict[str, "torch.Tensor"]:
    """Return all tensors of a checkpoint, on the CPU, in their stored dtype."""
    from safetensors.torch import load_file

    state: dict[str, torch.Tensor] = {}
    for path in _weights(folder):
        state |= load_file(path)
    return state


def write(
    out: Path, state: Mapping[str, "torch.Tensor"], config: Mapping[str, Any], *, beside: Path
) -> None:
    """Write a checkpoint folder; tokenizer and origin are copied from the folder `beside`."""
    from safetensors.torch import save_file

    out.mkdir(parents=True, exist_ok=True)
    contiguous = {name: tensor.detach().contiguous().cpu() for name, tensor in state.items()}
    save_file(contiguous, out / "model.safetensors", metadata={"format": "pt"})
    files.write_json(out / "config.json", dict(config))
    for name in SIDE_FILES:
        if (beside / name).exists() and not (out / name).exists():
            shutil.copyfile(beside / name, out / name)
