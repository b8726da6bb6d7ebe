"""Where the data of tasks lies: what the pipeline made, and the files that users point to."""

import gzip
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from potstill.errors import InputError


class UnavailableError(InputError):
    """A task's data is not here: it is reported as not run, never as failed or passed."""


def _in_folder(sources: dict[str, str]) -> dict[str, str]:
    """Refuse what is no file of the folder: DVC would not see it change."""
    for task, source in sources.items():
        path = Path(source)
        if not source.startswith("hub:") and (path.is_absolute() or {"..", "~"} & {*path.parts}):
            raise InputError(
                f"the file of {task} must lie in the folder problems, or DVC does not see it "
                f"change: copy or link it there and write {task}: {path.name}; or name "
                "hub:OWNER/NAME/FILE@COMMIT"
            )
    return sources


# task -> the name of its file in the pipeline's folder, or hub:OWNER/NAME/FILE@COMMIT
FolderSources = Annotated[dict[str, str], AfterValidator(_in_folder)]


def below(sources: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the sources of `Where`: names of files become paths below the folder."""
    return {
        task: source if source.startswith("hub:") else str(folder / source)
        for task, source in sources.items()
    }


@dataclass(frozen=True)
class Where:
    """What a task is read from.

    Attributes:
        sources: task -> path of a JSONL file, also gzipped, or hub:OWNER/NAME/FILE@COMMIT, a file
            of a data set on the hub.
        prompts: folder of task rows that `collect_prompts` wrote.
        teacher: file of a teacher's distributions that `record_reference` wrote.
        split: which problems: choices read validation, reports read test.
        policy: the subset policy of tasks whose problems must be solvable inside it.
    """

    sources: Mapping[str, str] = field(default_factory=dict)
    prompts: Path | None = None
    teacher: Path | None = None
    split: str = "test"
    policy: str = "edgecoder"


def read_rows(where: Where, task: str, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of the file that `where.sources` names for a task.

    Args:
        where: names the file.
        task: whose.
        texts: keys that every row must have, with a text each.

    Raises:
        UnavailableError: none is named, it is missing or cannot be fetched.
        InputError: a row is no JSON object or lacks a text; names the file and the line.
    """
    source = where.sources.get(task)
    if source is None:
        raise UnavailableError(
            f"no file of {task} is named: set benchmarks.sources.{task} to its path"
        )
    path = _from_hub(task, source[4:]) if source.startswith("hub:") else _here(source)
    if not path.is_file():
        raise UnavailableError(f"{path} is missing: correct benchmarks.sources.{task}")
    rows = []
    for number, line in enumerate(_lines(path), 1):
        if line.strip():
            rows.append(_row(f"{path} line {number}", line, texts))
    if not rows:
        raise InputError(f"{path} is empty: benchmarks.sources.{task} needs one problem a line")
    return rows


def _here(source: str) -> Path:
    return Path(os.path.expandvars(source)).expanduser()


def _lines(path: Path) -> list[str]:
    try:
        data = path.read_bytes()
        text = gzip.decompress(data) if path.suffix == ".gz" else data
        return text.decode().splitlines()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({error}): JSONL in UTF-8 is needed") from None


def _row(place: str, line: str, texts: Sequence[str]) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(f"{place} is not JSON ({error}): one problem a line is needed") from None
    if not isinstance(row, dict):
        raise InputError(f"{place} is a {type(row).__name__}, not a JSON object")
    wrong = [key for key in texts if not isinstance(row.get(key), str)]
    if wrong:
        raise InputError(f"{place} has no text {', '.join(wrong)}; it has {', '.join(sorted(row))}")
    return row


def _from_hub(task: str, name: str) -> Path:
    repository, _, commit = name.partition("@")
    owner, _, rest = repository.partition("/")
    data_set, _, file = rest.partition("/")
    if not (owner and data_set and file and commit):
        raise InputError(
            f"benchmarks.sources.{task} is 'hub:{name}': hub:OWNER/NAME/FILE@COMMIT is allowed"
        )
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        found = huggingface_hub.hf_hub_download(
            f"{owner}/{data_set}", file, repo_type="dataset", revision=commit
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise UnavailableError(
            f"hub:{name} could not be fetched ({type(error).__name__}): check the name, the commit "
            "and the network"
        ) from None
    return Path(found)
