"""Files that are either whole or absent, and the hashes that prove it."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from potstill.errors import InputError

CHUNK_BYTES = 1 << 20
MAX_LINE_BYTES = 64 << 20  # of JSONL: a longer one is no row, and would not fit many a memory


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_below(path: Path) -> list[Path]:
    """Return the regular files below a folder, sorted by their relative path; a file is itself."""
    if path.is_file():
        return [path]
    return sorted(p for p in path.rglob("*") if p.is_file())


def sha256_tree(path: Path) -> str:
    """Return one SHA-256 over the names and contents of all files below a path."""
    digest = hashlib.sha256()
    for file in files_below(path):
        digest.update(f"{file.relative_to(path).as_posix()}\0{sha256_file(file)}\n".encode())
    return digest.hexdigest()


def partial_path(path: Path) -> Path:
    """Return the sibling under which an output is written until it is whole."""
    return path.with_name(f".{path.name}.partial")


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Delete a file or a folder; nothing happens where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def publish(partial: Path, final: Path) -> None:
    """Move a finished output to its name: fsync every file, then one rename.

    A crash leaves the old output, no output or the new one, never a mixture.
    """
    for file in files_below(partial):
        _fsync(file)
    if partial.is_dir() or final.is_dir():  # only a file can be replaced in one step
        remove(final)
    partial.replace(final)
    _fsync(final.parent)


def write_text(path: Path, text: str) -> None:
    """Write a small text file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(path)
    partial.write_text(text, encoding="utf-8")
    publish(partial, path)


def to_json(value: object) -> str:
    """Return JSON with sorted keys and a final newline; NaN and infinity raise `ValueError`."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n"


def write_json(path: Path, value: object) -> None:
    """Write JSON atomically, as `to_json` has it."""
    write_text(path, to_json(value))


def read_json(path: Path) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Read a JSON file.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} is missing: run `dvc repro` or `dvc pull`") from None
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from None


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Write one JSON object a line and return how many; the caller publishes the file."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
    return count


def read_jsonl(path: Path, required: Iterable[str] = ()) -> Iterator[dict[str, Any]]:
    """Yield the objects of a JSONL file; blank lines are passed over.

    Raises:
        InputError: the file is missing, or a line is not UTF-8, too long, not a JSON object or
            lacks a required key; names the file and the line.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise InputError(f"{path} is missing: check the path in params.yaml") from None
    with file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), 1):
            if len(line) > MAX_LINE_BYTES:
                most = f"{MAX_LINE_BYTES >> 20} MiB"
                raise InputError(f"{path} line {number} has more than {most}: cut or delete it")
            try:
                text = line.removeprefix(b"\xef\xbb\xbf" if number == 1 else b"").decode("utf-8")
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{path} line {number} is not UTF-8 ({error}): convert the file"
                ) from None
            if text.strip():
                yield parse_row(path, number, text, required)


def parse_row(path: Path, number: int, line: str, required: Iterable[str] = ()) -> dict[str, Any]:
    """Return the object of one line; see `read_jsonl`."""
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(
            f"{path} line {number} is not JSON ({error}): one JSON object a line is allowed; "
            "mend or delete the line"
        ) from None
    if not isinstance(row, dict):
        raise InputError(f"{path} line {number} is a {type(row).__name__}, not a JSON object")
    missing = [key for key in required if key not in row]
    if missing:
        raise InputError(
            f"{path} line {number} lacks {', '.join(missing)}; it has {', '.join(sorted(row))}"
        )
    return row


def row_id(*parts: str) -> str:
    """Return the 16-hex-digit id of a row: a hash of its content, equal wherever it is made."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
