"""The float16 GGUF file of a checkpoint: checked, converted by llama.cpp's converter, kept once.

The converter sees a folder that holds config.json and links to the weight files, nothing else: so
neither stray files beside them nor code that came with a model is read, and the bytes do not
depend on where the checkpoint lies.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from potstill import files
from potstill.errors import InputError
from potstill.export import convert, converter, gguf_vocabulary
from potstill.models import checkpoint as checkpoints
from potstill.models import families, rotary
from potstill.models.chat import ChatTokenizer
from potstill.stage import WORK

KEPT = WORK / "gguf"
_PLACES = ("_name_or_path", "auto_map")  # a path of another machine; code that came with a model
_CHUNK = 1 << 24  # numbers that are checked at a time
# ggml's type -> (bits as, mask of the exponent, which infinity and NaN fill)
_INFINITE = {"F16": (np.uint16, 0x7C00), "F32": (np.uint32, 0x7F800000)}


def write(checkpoint: Path, path: Path, *, passing: bool) -> None:
    """Write a checkpoint as a float16 GGUF file.

    Args:
        checkpoint: a Hugging Face folder.
        path: the file to write.
        passing: the file is read once and deleted, so it may be a second name of the kept one,
            through which nobody may write.

    Raises:
        InputError: see `gguf.export`.
        MissingPackageError: the converter is not there.
    """
    tree = converter.check()
    config = checkpoints.read_config(checkpoint)
    whole = _check_config(config, checkpoint, tree)
    stops = sorted(ChatTokenizer(checkpoint).stop_ids)
    vocabulary = gguf_vocabulary.describe(checkpoint, config["vocab_size"], stops)
    job = {
        "config": _complete(config) if whole else config,
        "vocabulary": vocabulary,
        "whole": whole and vocabulary is not None,
        "name": str(config["model_type"]),
    }
    key = _key(checkpoint, job)
    place = checkpoints.link if passing else shutil.copyfile
    if key is not None and _take(key, path, place):
        return
    _convert(checkpoint, job, tree, path)
    _check_finite(path)
    if key is not None:
        _keep(path, key, place)


def _check_config(config: dict[str, Any], checkpoint: Path, tree: Path) -> bool:
    """Refuse what nobody knows; return whether the family is one of ours, checked by itself."""
    if config.get("model_type") in families.FAMILIES:
        families.check(config, checkpoint / "config.json")
        return True
    known, names = converter.architectures(tree), config.get("architectures") or ["none"]
    if names[0] not in known:
        raise InputError(
            f"{checkpoint}: architecture {names[0]} (model_type {config.get('model_type')!r}) is "
            f"none of the {len(known)} of llama.cpp's converter: choose another model or format"
        )
    return False


def _complete(config: dict[str, Any]) -> dict[str, Any]:
    """Write out what config.json leaves to the family, so that the converter need not guess."""
    rope = rotary.read(config)
    given = config.get("rope_parameters") or config.get("rope_scaling") or {}
    return config | {
        "architectures": [families.of(config).architecture],
        "num_key_value_heads": families.num_key_heads(config),
        "head_dim": families.head_dim(config),
        "rope_parameters": {**given, "rope_type": rope.kind, "rope_theta": rope.theta},
    }


def _convert(checkpoint: Path, job: dict[str, Any], tree: Path, path: Path) -> None:
    work = path.with_name(f"{path.name}.converter")  # goes with the unfinished output of a kill
    files.remove(work)
    model = work / "model"
    model.mkdir(parents=True)
    sources = checkpoints.weight_files(checkpoint)
    index = checkpoint / checkpoints.INDEX
    sources += [index] if index.exists() else []
    if job["vocabulary"] is None:
        sources += [checkpoint / file for file in checkpoints.SIDE_FILES]
    for source in sources:
        if source.exists():
            (model / source.name).symlink_to(source.resolve())
    files.write_json(model / "config.json", _without_code(job["config"]))
    request = work / "job.json"
    paths = {"converter": str(tree), "model": str(model.resolve()), "out": str(path.resolve())}
    request.write_text(json.dumps({**job, **paths}), encoding="utf-8")
    command = [sys.executable, "-I", "-B", convert.__file__, str(request)]
    done = subprocess.run(command, capture_output=True, text=True, check=False,
                          stdin=subprocess.DEVNULL)  # fmt: skip
    files.remove(work)
    if done.returncode:
        files.remove(path)
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise InputError(f"{checkpoint}: llama.cpp's converter refuses it: {lines[-1]}")


def _without_code(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in _PLACES}


def _check_finite(path: Path) -> None:
    """Refuse a file in which a number is infinite or none: float16 ends at 65504."""
    from potstill.models.gguf_header import read_header

    header = read_header(path)
    for tensor in header.tensors:
        if tensor.type.name not in _INFINITE:
            continue  # stored in blocks: the converter saw to those
        dtype, mask = _INFINITE[tensor.type.name]
        shape = (tensor.num_bytes // np.dtype(dtype).itemsize,)
        bits = np.memmap(path, dtype, "r", header.start + tensor.offset, shape)
        for start in range(0, len(bits), _CHUNK):
            if (bits[start : start + _CHUNK] & mask == mask).any():
                raise InputError(
                    f"tensor {tensor.name} holds values that are not finite in "
                    f"{tensor.type.name}: train again with a smaller learning rate"
                )


def _key(checkpoint: Path, job: dict[str, Any]) -> str | None:
    """Return a hash of all that goes into the file; None outside a pipeline."""
    if not WORK.is_dir():
        return None
    digest = hashlib.sha256(converter.TREE_SHA256.encode())
    digest.update(Path(convert.__file__).read_bytes())
    digest.update(json.dumps(job, sort_keys=True).encode())
    for weights in checkpoints.weight_files(checkpoint):
        digest.update(f"{weights.name} {files.sha256_file(weights)}\n".encode())
    return digest.hexdigest()


def _take(key: str, path: Path, place: Callable[[Path, Path], object]) -> bool:
    """Put the kept file of a key into place; one that is not what was kept is made anew."""
    for kept in KEPT.glob(f"{key}-*.gguf"):
        try:
            place(kept, path)
        except FileNotFoundError:  # another export has just put its own there
            continue
        if files.sha256_file(path) == kept.stem.rpartition("-")[2]:
            return True
        files.remove(path)
    return False


def _keep(path: Path, key: str, place: Callable[[Path, Path], object]) -> None:
    """Keep a file under its key and its own hash; only the last one is kept."""
    kept = KEPT / f"{key}-{files.sha256_file(path)}.gguf"
    KEPT.mkdir(parents=True, exist_ok=True)
    for other in KEPT.glob("*.gguf"):
        files.remove(other)
    with tempfile.TemporaryDirectory(dir=KEPT) as name:  # another export may keep its own
        place(path, Path(name) / kept.name)
        files.publish(Path(name) / kept.name, kept)
