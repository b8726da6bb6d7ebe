"""Read and write Hugging Face checkpoint folders without loading a model class.

Weights lie in model.safetensors or, for a large model, in several files that
model.safetensors.index.json lists; files beside these (adapters, another layout of the same model)
are not read. Nothing here needs more memory than one file's tensors, but for `read_arrays` and
`read_state`, which return them all.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potstill import files
from potstill.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    import torch

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
LINEAGE = "lineage.json"  # what it was trained on: see `tokens.folds`
SIDE_FILES = (*TOKENIZER_FILES, "generation_config.json", "origin.json", LINEAGE)
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
SHARD_BYTES = 4_000_000_000  # of tensors in one file
_FICLONE = 0x40049409  # linux/fs.h: share the blocks of a file, copied when one is written to
_NO_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EACCES, errno.ENOTSUP)


def read_config(folder: Path) -> dict[str, Any]:
    """Return config.json of a checkpoint folder."""
    config: dict[str, Any] = files.read_json(folder / "config.json")
    return config


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold the weights: the index's, or model.safetensors.

    Raises:
        InputError: neither is there, or the index lists a file that is not.
    """
    if (folder / INDEX).exists():
        names = sorted(set(files.read_json(folder / INDEX)["weight_map"].values()))
        # a name with a folder in it could lead anywhere
        lost = [n for n in names if Path(n).name != n or not (folder / n).is_file()]
        if lost:
            raise InputError(f"{folder / INDEX} lists {lost[0]}, which is missing: fetch it again")
        return [folder / name for name in names]
    if not (folder / WEIGHTS).is_file():
        raise InputError(f"{folder} holds neither {WEIGHTS} nor {INDEX}: it is not a checkpoint")
    return [folder / WEIGHTS]


def headers(folder: Path) -> dict[str, tuple[str, list[int]]]:
    """Return (dtype as safetensors names it, shape) of every tensor, read from the headers alone.

    Raises:
        InputError: there are no weights in the folder, or a file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    found: dict[str, tuple[str, list[int]]] = {}
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="numpy") as file:
                for name in file.keys():  # noqa: SIM118 - not a dictionary
                    part = file.get_slice(name)
                    found[name] = (part.get_dtype(), list(part.get_shape()))
        except SafetensorError as error:
            raise InputError(f"{path} is damaged ({error}): fetch it again") from None
    return found


def shapes(folder: Path) -> dict[str, list[int]]:
    """Return the shape of every tensor; raises as `headers`."""
    return {name: shape for name, (_, shape) in headers(folder).items()}


def count_parameters(folder: Path) -> int:
    """Return the number of stored weights; a tied head counts once."""
    total = 0
    for shape in shapes(folder).values():
        size = 1
        for axis in shape:
            size *= axis
        total += size
    return total


def tensors(folder: Path) -> Iterator[tuple[str, "torch.Tensor"]]:
    """Yield (name, tensor) on the CPU in the stored dtype, one in memory at a time."""
    from safetensors import safe_open

    for path in weight_files(folder):
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
        for name in names:
            with safe_open(path, framework="pt") as file:  # anew: what it read stays mapped
                tensor = file.get_tensor(name)
            yield name, tensor


def read_arrays(folder: Path) -> dict[str, "np.ndarray"]:
    """Return all tensors of a checkpoint in their stored dtype (bfloat16 by ml_dtypes)."""
    import ml_dtypes  # noqa: F401 - makes NumPy know the name bfloat16
    from safetensors.numpy import load_file

    arrays: dict[str, np.ndarray] = {}
    for path in weight_files(folder):
        arrays |= load_file(path)
    return arrays


def read_state(folder: Path) -> dict[str, "torch.Tensor"]:
    """Return all tensors of a checkpoint, on the CPU, in their stored dtype."""
    from safetensors.torch import load_file

    state: dict[str, torch.Tensor] = {}
    for path in weight_files(folder):
        state |= load_file(path)
    return state


def write(
    out: Path,
    state: Mapping[str, "torch.Tensor"],
    config: Mapping[str, Any],
    *,
    beside: Path,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write a checkpoint folder; tokenizer, origin and lineage come from `beside`."""
    out.mkdir(parents=True, exist_ok=True)
    sizes = {name: tensor.numel() * tensor.element_size() for name, tensor in state.items()}
    write_weights(out, sizes, lambda name: state[name], shard_bytes)
    files.write_json(out / "config.json", dict(config))
    for name in SIDE_FILES:
        if (beside / name).exists() and not (out / name).exists():
            shutil.copyfile(beside / name, out / name)


def write_weights(
    out: Path,
    sizes: Mapping[str, int],
    read: Callable[[str], "torch.Tensor"],
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write model.safetensors, or several files and their index where it would be too large.

    Args:
        out: an existing folder.
        sizes: bytes of each tensor as it will be stored; files are filled in this order.
        read: gives a tensor by its name; the tensors of one file are in memory together.
        shard_bytes: most bytes in one file, but for a tensor that is larger by itself.
    """
    from safetensors.torch import save_file

    shards: list[list[str]] = [[]]
    room = shard_bytes
    for name, size in sizes.items():
        if size > room and shards[-1]:
            shards.append([])
            room = shard_bytes
        shards[-1].append(name)
        room -= size
    weight_map: dict[str, str] = {}
    for number, names in enumerate(shards, 1):
        file = WEIGHTS if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}.safetensors"
        state = {name: read(name).detach().contiguous().cpu() for name in names}
        save_file(state, out / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(names, file)
    if len(shards) > 1:
        index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": weight_map}
        files.write_json(out / INDEX, index)


def link(source: Path, target: Path, *, hard: bool = True) -> None:
    """Make a second name for a file's content: shared blocks, else a hard link, else a copy.

    Where the file system cannot share blocks, source and target are one file: whoever changes it
    must write a new one under its name, as `files.write_text` does, and DVC makes both read-only.
    So what is the user's own is linked with `hard=False`: shared blocks or a copy.
    """
    import fcntl

    source = source.resolve()  # the hub's cache holds symbolic links
    try:
        with source.open("rb") as old, target.open("xb") as new:
            fcntl.ioctl(new.fileno(), _FICLONE, old.fileno())
        return
    except FileExistsError:
        raise
    except OSError:
        target.unlink(missing_ok=True)
    if not hard:
        shutil.copyfile(source, target)
        return
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        shutil.copyfile(source, target)
