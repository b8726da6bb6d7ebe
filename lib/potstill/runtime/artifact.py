"""The artefact: a folder with a model, its tokenizer and artifact.json, which describes both.

Every runtime loads from such a folder and nothing else; the hashes in artifact.json find a damaged
file before a runtime reads it. `potstill.export.build` makes one.
"""

from pathlib import Path
from typing import Any

from potstill import files
from potstill.errors import InputError

NAME = "artifact.json"
# What a reader may rely on in every artifact.json; a format may add to it.
FIELDS = (
    "format", "quantisation", "model_file", "files", "checkpoint_sha256", "tokenizer_sha256",
    "chat_template", "stop_tokens", "stop_ids", "bos_id", "context", "vocab_size",
    "num_parameters", "potstill_version",
)  # fmt: skip


def read(artefact: Path) -> dict[str, Any]:
    """Return the content of artifact.json.

    Raises:
        InputError: it is missing, is not JSON, lacks a field or lists no files.
    """
    if not (artefact / NAME).exists():
        raise InputError(
            f"{artefact / NAME} is missing: this is no artefact; `potstill adopt` makes one of a "
            "model, `dvc repro` or `dvc pull` bring the pipeline's"
        )
    description = files.read_json(artefact / NAME)
    missing = [f for f in FIELDS if not isinstance(description, dict) or f not in description]
    if missing:
        raise InputError(f"{artefact / NAME} lacks {', '.join(missing)}: export the artefact again")
    listed = description["files"]
    entries = list(listed.values()) if isinstance(listed, dict) else [None]
    if not all(
        isinstance(entry, dict) and {"bytes", "sha256"} <= entry.keys() for entry in entries
    ):
        raise InputError(
            f"{artefact / NAME}: files must have bytes and sha256 each: export the artefact again"
        )
    return dict(description)


def verify(artefact: Path) -> dict[str, Any]:
    """Check every file against artifact.json and return its content.

    Raises:
        InputError: a file is missing, truncated or different; names the file.
    """
    description = read(artefact)
    again = "export the artefact again, or delete the file and `dvc checkout` or `dvc pull`"
    for name, entry in description["files"].items():
        path = artefact / name
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise InputError(f"{artefact / NAME} names {name}, outside the artefact: {again}")
        if not path.is_file():
            raise InputError(f"{path} is missing: {again}")
        num_bytes = path.stat().st_size
        if num_bytes != entry["bytes"]:
            raise InputError(f"{path} has {num_bytes} bytes, expected {entry['bytes']}: {again}")
        sha256 = files.sha256_file(path)
        if sha256 != entry["sha256"]:
            raise InputError(
                f"{path} has SHA-256 {sha256[:12]}, expected {entry['sha256'][:12]}: {again}"
            )
    return description
