"""The artefact: a folder with a model, its tokenizer and artifact.json, which describes both.

Every runtime loads from such a folder and nothing else; the hashes in artifact.json find a damaged
file before a runtime reads it.
"""

import shutil
from pathlib import Path
from typing import Any

import potstill
from potstill import files
from potstill.errors import InputError
from potstill.export import FORMATS
from potstill.models import checkpoint as checkpoints
from potstill.models.chat import ChatTokenizer
from potstill.params import closest

NAME = "artifact.json"
# What a reader may rely on in every artifact.json; a format may add to it.
FIELDS = (
    "format", "quantisation", "files", "checkpoint_sha256", "tokenizer_sha256", "chat_template",
    "stop_tokens", "stop_ids", "bos_id", "context", "vocab_size", "num_parameters",
    "potstill_version",
)  # fmt: skip


def build(checkpoint: Path, out: Path, *, format: str, quantisation: str) -> dict[str, Any]:  # noqa: A002
    """Export a checkpoint and describe the result; return the content of artifact.json.

    Args:
        checkpoint: a Hugging Face folder with a tokenizer and a chat template.
        out: the artefact's folder, absent or empty; the caller publishes it.
        format: a name in `potstill.export.FORMATS`.
        quantisation: a name in that format's QUANTISATIONS.

    Raises:
        InputError: unknown format or quantisation, `out` holds files, or the format cannot carry
            this checkpoint.
    """
    module = FORMATS[format]
    if quantisation not in module.QUANTISATIONS:
        raise InputError(
            f"format {format} has no quantisation {quantisation!r}; "
            f"{closest(quantisation, module.QUANTISATIONS)}"
        )
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise InputError(f"{out} is not empty: delete it, an artefact describes all its files")
    extra = module.export(checkpoint, out, quantisation=quantisation)
    for name in checkpoints.TOKENIZER_FILES:
        if (checkpoint / name).exists():
            shutil.copyfile(checkpoint / name, out / name)
    description = {
        "format": format,
        "quantisation": quantisation,
        "files": {
            path.relative_to(out).as_posix(): {
                "bytes": path.stat().st_size,
                "sha256": files.sha256_file(path),
            }
            for path in files.files_below(out)
        },
        "checkpoint_sha256": files.sha256_tree(checkpoint),
        "tokenizer_sha256": files.sha256_file(checkpoint / "tokenizer.json"),
        "num_parameters": checkpoints.count_parameters(checkpoint),
        "potstill_version": potstill.__version__,
        **_describe_model(checkpoint),
        **(extra or {}),
    }
    files.write_json(out / NAME, description)
    return description


def _describe_model(checkpoint: Path) -> dict[str, Any]:
    """Return the fields that come from the configuration and the tokenizer."""
    config = checkpoints.read_config(checkpoint)
    chat = ChatTokenizer(checkpoint)
    ids = stop_ids(checkpoint)
    bos = chat.config.get("bos_token")
    bos_text = bos["content"] if isinstance(bos, dict) else bos
    return {
        "chat_template": chat.template,
        "stop_ids": ids,
        "stop_tokens": [chat.tokenizer.id_to_token(index) for index in ids],
        "bos_id": chat.tokenizer.token_to_id(bos_text) if bos_text else None,
        "context": config["max_position_embeddings"],
        "vocab_size": config["vocab_size"],
    }


def stop_ids(checkpoint: Path) -> list[int]:
    """Return the ids that end an answer, ascending: the tokenizer's and the generation config's.

    Raises:
        InputError: an end id is not in the vocabulary.
    """
    chat = ChatTokenizer(checkpoint)
    path = checkpoint / "generation_config.json"
    config = files.read_json(path) if path.exists() else checkpoints.read_config(checkpoint)
    end = config.get("eos_token_id")
    ids = set(chat.stop_ids) | set(end if isinstance(end, list) else [] if end is None else [end])
    unknown = [index for index in ids if chat.tokenizer.id_to_token(index) is None]
    if unknown:
        raise InputError(
            f"{checkpoint}: end ids {unknown} are not in the tokenizer: correct eos_token_id in "
            "generation_config.json"
        )
    return sorted(ids)


def read(artefact: Path) -> dict[str, Any]:
    """Return the content of artifact.json.

    Raises:
        InputError: it is missing, is not JSON or lacks a field.
    """
    description = files.read_json(artefact / NAME)
    missing = [f for f in FIELDS if not isinstance(description, dict) or f not in description]
    if missing:
        raise InputError(f"{artefact / NAME} lacks {', '.join(missing)}: export the artefact again")
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
