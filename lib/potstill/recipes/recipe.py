"""What an artefact of an adapted student is built of, in a folder without the base's weights.

    recipe.json     the base model (source, revision, dtype, hashes), the export, its hashes
    adapter/        low-rank adapters, as peft reads them
    vocabulary/     the trimmed vocabulary with its tokenizer; absent where the base keeps its own

With the base model at hand `build` makes the artefact again and says which files have other bytes.
Products of adapters are made in float64, so that the order of sums, which differs from processor to
processor, seldom shows.
"""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

from potstill import files
from potstill.distill import adapters
from potstill.errors import InputError
from potstill.export import build as exports
from potstill.models import checkpoint
from potstill.runtime import artifact
from potstill.sources import fetch
from potstill.vocabulary import trimming

RECIPE, VOCABULARY = "recipe.json", "vocabulary"
_KEYS = {"model", "format", "quantisation", "files", "converter", "potstill_version"}


class Parts(NamedTuple):
    """Where the pipeline keeps what a recipe is made of.

    Attributes:
        artefact: the export that shall be built again.
        student: the checkpoint that it is an export of, trained with adapters.
        base: the fetched model that the student began as, with its origin.json.
        vocabulary: the trimmed vocabulary; None where the student has the base's.
    """

    artefact: Path
    student: Path
    base: Path
    vocabulary: Path | None


def pack(parts: Parts, out: Path) -> int:
    """Write the folder of a recipe; return its bytes.

    Raises:
        InputError: the student has no adapter, the artefact is of another one, or `out` exists.
    """
    description = artifact.verify(parts.artefact)
    if description["checkpoint_sha256"] != files.sha256_tree(parts.student):
        raise InputError(f"{parts.artefact} is of another {parts.student}: run dvc repro first")
    adapter = parts.student / adapters.FOLDER
    if not adapter.is_dir():
        raise InputError(f"{parts.student} has no adapter: train it with training.adapter")
    if out.exists():
        raise InputError(f"{out} exists: delete it, or name another folder with --out")
    origin = files.read_json(parts.base / "origin.json")
    partial = files.partial_path(out)
    files.remove(partial)
    partial.mkdir(parents=True)
    shutil.copytree(adapter, partial / adapters.FOLDER)
    if parts.vocabulary is not None:
        shutil.copytree(parts.vocabulary, partial / VOCABULARY)
    kept = {key: description.get(key) for key in _KEYS - {"model"}}
    dtype = checkpoint.read_config(parts.base)["dtype"]
    model = {key: origin[key] for key in ("source", "revision", "licence", "sha256")}
    files.write_json(partial / RECIPE, {"model": {**model, "dtype": dtype}, **kept})
    files.publish(partial, out)
    return sum(path.stat().st_size for path in files.files_below(out))


def read(folder: Path) -> dict[str, Any]:
    """Return the content of a folder's recipe.json.

    Raises:
        InputError: it is missing or lacks a key.
    """
    path = folder / RECIPE
    if not path.is_file():
        raise InputError(f"{folder} has no {RECIPE}: name a folder that `potstill pack` made")
    found = files.read_json(path)
    if not isinstance(found, dict) or _KEYS - set(found):
        raise InputError(f"{path} is no recipe: it lacks some of {', '.join(sorted(_KEYS))}")
    return found


def build(
    folder: Path, out: Path, scratch: Path, source: str | None = None, share: float = 1.0
) -> list[str]:
    """Build the artefact of a recipe; return the names of its files that have other bytes.

    Args:
        folder: of the recipe.
        out: the artefact's folder, absent.
        scratch: an empty folder beside `out` for what is made on the way: twice the base model in
            float32, and the artefact.
        source: of the base model, where it lies elsewhere than the recipe says.
        share: of the way from the start to the recipe's student; below 1 it is another artefact.

    Raises:
        InputError: no recipe, no base model there or another one, or `out` exists.
    """
    recipe = read(folder)
    if out.exists():
        raise InputError(f"{out} exists: delete it, or name another folder with --out")
    model = recipe["model"]
    base, start, student = scratch / "base", scratch / "start", scratch / "student"
    origin = fetch.fetch(source or model["source"], model["revision"], model["dtype"], base)
    if sorted(origin.sha256.values()) != sorted(model["sha256"].values()):
        raise InputError(
            f"{origin.source} is another model than the recipe's: its weights have other hashes"
        )
    if (folder / VOCABULARY).is_dir():
        trimming.apply(folder / VOCABULARY, base, start)
    else:
        trimming.link(base, start)
    adapters.apply(folder / adapters.FOLDER, start, student, share)
    artefact = scratch / "artefact"
    how = {key: recipe[key] for key in ("format", "quantisation")}
    made = exports.build(student, artefact, **how)
    files.publish(artefact, out)
    names = {*made["files"], *recipe["files"]}
    return sorted(name for name in names if made["files"].get(name) != recipe["files"].get(name))
