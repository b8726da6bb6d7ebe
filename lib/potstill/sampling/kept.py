"""Answers that were asked for once: kept on this machine, whatever else changes.

An answer costs time or money, so it is written down at once, under what it depends on: the back
end's identity, the messages, and the number of the sample. Each run appends to a file of its own,
so runs side by side do not meet, and reads all of them. What a kill cut short is asked again.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from potstill import files


class Kept:
    """The answers of a folder; what is put is there after a crash too."""

    def __init__(self, folder: Path) -> None:
        """Read all answers of the folder, which is made where there is none."""
        folder.mkdir(parents=True, exist_ok=True)
        self._rows: dict[str, dict[str, Any]] = {}
        for path in sorted(folder.glob("*.jsonl")):
            for line in path.read_bytes().split(b"\n"):
                self._read(line)
        self._path = folder / f"{os.getpid()}-{os.urandom(4).hex()}.jsonl"

    def _read(self, line: bytes) -> None:
        try:
            row = json.loads(line)
            self._rows[row["key"]] = {name: row[name] for name in ("text", "finish", "tokens")}
        except (ValueError, KeyError, TypeError):
            return  # cut short, or not one of ours

    @staticmethod
    def key(identity: str, messages: Sequence[dict[str, str]], sample: int) -> str:
        """Return what an answer is kept under."""
        return files.row_id(identity, json.dumps(messages, sort_keys=True), str(sample))

    def get(self, key: str) -> dict[str, Any] | None:
        """Return the text, finish and tokens of an answer, if it is there."""
        return self._rows.get(key)

    def put(self, key: str, row: dict[str, Any]) -> None:
        """Keep an answer."""
        self._rows[key] = row
        with self._path.open("ab") as file:
            file.write(json.dumps({"key": key, **row}).encode() + b"\n")
