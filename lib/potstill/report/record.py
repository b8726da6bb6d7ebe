"""One JSON file of metrics whose keys are checked as they are used."""

import math
from pathlib import Path
from typing import Any

from potstill import files
from potstill.errors import InputError
from potstill.report.results import Estimate


class Record:
    """The values of one file or of a part of it; keys that nobody asks for do not matter.

    `path` is the file's, with the part's keys behind it: what messages name.
    """

    def __init__(self, path: str, values: object) -> None:
        if not isinstance(values, dict):
            raise InputError(f"{path} is a {type(values).__name__}, not a JSON object")
        self.path = path
        self.values: dict[str, Any] = values

    @classmethod
    def read(cls, path: Path) -> "Record":
        """Return the values of a file."""
        return cls(str(path), files.read_json(path))

    def part(self, key: str) -> "Record":
        """Return the object below a key."""
        return Record(f"{self.path}: {key}", self._get(key))

    def number(self, key: str) -> float:
        """Return a finite number.

        Raises:
            InputError: the key is missing, no number, NaN or infinite.
        """
        value = self._get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"{self.path}: {key} is {value!r}, not a number: run its stage again")
        if not math.isfinite(value):
            raise InputError(f"{self.path}: {key} is {value}: find out why in the stage's log")
        return value

    def whole(self, key: str) -> int:
        """Return a whole number."""
        return int(self.number(key))

    def optional(self, key: str) -> float | None:
        """Return a number, or None where it was not measured (no such key, or null)."""
        return None if self.values.get(key) is None else self.number(key)

    def text(self, key: str) -> str:
        """Return a value as text."""
        return str(self._get(key))

    def estimate(self, key: str, count_key: str, sign: str = "_") -> Estimate | None:
        """Return a number with its interval and count; None where the count is absent or 0."""
        count = int(self.optional(count_key) or 0)
        if count == 0:
            return None
        low, high = self.number(f"{key}{sign}low"), self.number(f"{key}{sign}high")
        return Estimate(self.number(key), low, high, count)

    def hashes(self) -> dict[str, str]:
        """Return the SHA-256 of each of an artefact's files."""
        entries = self._get("files")
        if not isinstance(entries, dict) or not all("sha256" in e for e in entries.values()):
            raise InputError(f"{self.path}: files have no sha256: run export again")
        return {name: str(entry["sha256"]) for name, entry in entries.items()}

    def _get(self, key: str) -> Any:  # noqa: ANN401 - JSON has no narrower type
        if key not in self.values:
            raise InputError(f"{self.path} has no {key}: run its stage again with `dvc repro`")
        return self.values[key]
