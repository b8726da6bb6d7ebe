"""What every adopted folder has: the user's file under a second name, and artifact.json."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

import potstill
from potstill import files
from potstill.models import checkpoint
from potstill.runtime import artifact


def take(source: Path, target: Path) -> str:
    """Give a file of the user's a second name in the artefact; return the line that says how."""
    checkpoint.link(source, target)
    how = "a hard link to" if target.samefile(source) else "a copy of"
    return f"{target.name} is {how} {source}"


def describe(
    out: Path,
    tokenizer: Tokenizer,
    *,
    model_file: str,
    stop_ids: list[int],
    **stated: Any,  # noqa: ANN401
) -> None:
    """Write generation_config.json, then artifact.json about all files in `out`.

    Args:
        out: holds the model and the tokenizer.
        tokenizer: that of `out`, loaded.
        model_file: what a runtime opens; there is no checkpoint, so `checkpoint_sha256` is its.
        stop_ids: ids that end an answer.
        stated: the fields that come from the model; see `artifact.FIELDS`.
    """
    files.write_json(out / "generation_config.json", {"eos_token_id": stop_ids})
    content = {
        path.relative_to(out).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": files.sha256_file(path),
        }
        for path in files.files_below(out)
    }
    description = {
        **stated,
        "model_file": model_file,
        "stop_ids": stop_ids,
        "stop_tokens": [tokenizer.id_to_token(index) for index in stop_ids],
        "files": content,
        "checkpoint_sha256": content[model_file]["sha256"],
        "tokenizer_sha256": content["tokenizer.json"]["sha256"],
        "potstill_version": potstill.__version__,
    }
    files.write_json(out / artifact.NAME, description)
