"""Build an artefact: a checkpoint's weights in one format, its tokenizer and artifact.json."""

import shutil
from pathlib import Path
from typing import Any

import potstill
from potstill import files
from potstill.errors import InputError
from potstill.export import FORMATS, split
from potstill.models import checkpoint as checkpoints
from potstill.models.chat import ChatTokenizer
from potstill.runtime import artifact


def build(checkpoint: Path, out: Path, *, format: str, quantisation: str) -> dict[str, Any]:  # noqa: A002
    """Export a checkpoint and describe the result; return the content of artifact.json.

    Args:
        checkpoint: a Hugging Face folder with a tokenizer and a chat template.
        out: the artefact's folder, absent or empty; the caller publishes it.
        format: a name in `potstill.export.FORMATS`.
        quantisation: as `potstill.export.split` takes it.

    Raises:
        InputError: unknown format or quantisation, `out` holds files, or the format cannot carry
            this checkpoint.
    """
    module = FORMATS[format]
    weights, cache = split(format, quantisation)
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise InputError(f"{out} is not empty: delete it, an artefact describes all its files")
    extra = module.export(checkpoint, out, quantisation=weights)
    for name in checkpoints.TOKENIZER_FILES:
        if (checkpoint / name).exists():
            shutil.copyfile(checkpoint / name, out / name)
    ends = {"eos_token_id": sorted(ChatTokenizer(checkpoint).stop_ids)}
    files.write_json(out / "generation_config.json", ends)
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
        **({"cache": cache} if cache else {}),
        **(extra or {}),
    }
    files.write_json(out / artifact.NAME, description)
    return description


def _describe_model(checkpoint: Path) -> dict[str, Any]:
    """Return the fields that come from the configuration and the tokenizer."""
    config = checkpoints.read_config(checkpoint)
    chat = ChatTokenizer(checkpoint)
    ids = sorted(chat.stop_ids)
    return {
        "chat_template": chat.template,
        "stop_ids": ids,
        "stop_tokens": [chat.tokenizer.id_to_token(index) for index in ids],
        "bos_id": chat.token_id("bos"),
        "context": config["max_position_embeddings"],
        "vocab_size": config["vocab_size"],
    }
