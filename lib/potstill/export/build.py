"""Build an artefact: a checkpoint's weights in one format, its tokenizer and artifact.json."""

import shutil
from pathlib import Path
from typing import Any

import potstill
from potstill import files
from potstill.artefacts import artifact
from potstill.errors import InputError
from potstill.export import FORMATS
from potstill.models import checkpoint as checkpoints
from potstill.models.chat import ChatTokenizer
from potstill.params import closest


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
        "model_file": module.MODEL_FILE,
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
    files.write_json(out / artifact.NAME, description)
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
