"""Task rows: what a model is asked and how its answer is checked."""

from pathlib import Path
from typing import Any

from potstill import files
from potstill.errors import InputError
from potstill.models.formats import LANGUAGE_NAMES

REQUIRED = ("task", "language")


def read_extra(folder: Path) -> list[dict[str, Any]]:
    """Read the user's own tasks: every *.jsonl file of a folder.

    A row needs `task` and `language`; `entry_point` and `tests` ([{"args": [...], "expected":
    ...}]) let answers be checked; `reference`, `plan`, `family`, `level` and `licence` are
    optional. The family decides the split; rows that state none are one family where they ask the
    same.

    Raises:
        InputError: an empty file, a malformed line, or a language that is not supported.
    """
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.jsonl")):
        found = list(files.read_jsonl(path, REQUIRED))
        if not found:
            raise InputError(f"{path} is empty: give it one JSON object a line, or delete it")
        rows += [_complete(row, path) for row in found]
    return rows


def _complete(row: dict[str, Any], path: Path) -> dict[str, Any]:
    if row["language"] not in LANGUAGE_NAMES:
        raise InputError(
            f"{path}: language {row['language']!r}; allowed: {', '.join(LANGUAGE_NAMES)}"
        )
    if row.get("tests") and not row.get("entry_point"):
        raise InputError(f"{path}: a row has tests but no entry_point: name the function to call")
    identity = files.row_id(path.stem, row["task"], row["language"])
    return {
        "id": identity,
        "source": path.stem,
        "licence": row.get("licence", "unknown"),
        "family": row.get("family", files.row_id(row["task"])),
        "level": row.get("level", 0),
        "entry_point": row.get("entry_point"),
        "plan": row.get("plan", []),
        "reference": row.get("reference"),
        "tests": row.get("tests", []),
        **{key: row[key] for key in REQUIRED},
    }
