"""Bring in a Hugging Face folder: weights linked where they have the dtype asked for, else cast."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potstill import files
from potstill.errors import InputError
from potstill.models import checkpoint, families
from potstill.sources.brought import Brought, DType, cast

if TYPE_CHECKING:
    import torch

CONFIG = "config.json"
SIDE_PATTERNS = (
    CONFIG,
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
)
WEIGHT_PATTERNS = (checkpoint.WEIGHTS, checkpoint.INDEX, "model-*-of-*.safetensors")
# safetensors' name of a dtype -> ours; other dtypes are those of quantised models.
_STORED = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def bring(folder: Path, dtype: DType, out: Path) -> Brought:
    """Write the checkpoint in `folder` into `out`, its weights in `dtype`.

    Raises:
        InputError: weights or files that are missing, pickled or quantised, a family or a setting
            that is not carried; nothing is written then.
    """
    given, config, note = carried_config(folder, str(folder))
    stored = _check_files(folder)
    out.mkdir(parents=True)
    for pattern in SIDE_PATTERNS:
        if (folder / pattern).exists():
            shutil.copyfile(folder / pattern, out / pattern)
    if config.get("dtype", config.get("torch_dtype")) != dtype:
        config.pop("torch_dtype", None)
        config["dtype"] = dtype
    if config != given:
        files.write_json(out / CONFIG, config)
    weights = checkpoint.weight_files(folder)
    if {kind for kind, _ in stored.values()} == {dtype}:
        for path in weights:
            checkpoint.link(path, out / path.name, hard=False)
        if (folder / checkpoint.INDEX).exists():
            shutil.copyfile(folder / checkpoint.INDEX, out / checkpoint.INDEX)
    else:
        _convert(weights, stored, dtype, out)
    return Brought(weights, notes=[note] if note else [])


def carried_config(folder: Path, where: str) -> tuple[dict[str, Any], dict[str, Any], str | None]:
    """Return (config.json, the same as it is carried, one line if its context was capped).

    Args:
        folder: holds config.json.
        where: what a message shall name.

    Raises:
        InputError: there is none, or its family or a setting is not carried.
    """
    if not (folder / CONFIG).exists():
        raise InputError(f"{where} has no {CONFIG}: it is not a Hugging Face checkpoint")
    given = checkpoint.read_config(folder)
    families.of(given, where)
    config, note = families.without_window(given)
    families.check(config, where)
    return given, config, note


def _check_files(folder: Path) -> dict[str, tuple[str, int]]:
    """Return (dtype, number of weights) of every tensor; refuse what cannot be read."""
    if not any((folder / name).exists() for name in (checkpoint.WEIGHTS, checkpoint.INDEX)):
        pickled = [p.name for p in folder.glob("*.bin")] + [p.name for p in folder.glob("*.pt")]
        found = f"only pickled weights ({', '.join(pickled)})" if pickled else "no weights"
        raise InputError(
            f"{folder} has {found}: {checkpoint.WEIGHTS} is needed; convert the model first"
        )
    if not (folder / "tokenizer.json").exists():
        raise InputError(f"{folder} has no tokenizer.json: save the fast tokenizer beside it")
    sizes: dict[str, tuple[str, int]] = {}
    for name, (kind, shape) in checkpoint.headers(folder).items():
        if kind not in _STORED:
            raise InputError(
                f"{folder}: tensor {name} is stored as {kind}; supported: {', '.join(_STORED)}: "
                "fetch the model that was not quantised"
            )
        count = 1
        for axis in shape:
            count *= axis
        sizes[name] = (_STORED[kind], count)
    return sizes


def _convert(
    weights: list[Path], stored: dict[str, tuple[str, int]], dtype: DType, out: Path
) -> None:
    """Write all tensors in another dtype, holding those of one output file at a time."""
    from safetensors import safe_open

    width = 4 if dtype == "float32" else 2
    opened: list[Any] = [safe_open(path, framework="pt") for path in weights]
    places = {name: file for file in opened for name in file.keys()}  # noqa: SIM118
    sizes = {name: count * width for name, (_, count) in stored.items()}
    read: Callable[[str], torch.Tensor] = lambda name: cast(  # noqa: E731
        name, places[name].get_tensor(name), dtype
    )
    checkpoint.write_weights(out, sizes, read)
