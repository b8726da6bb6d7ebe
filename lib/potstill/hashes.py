"""SHA256SUMS: one line a file in the format of coreutils' `sha256sum`, so that it can check too.

Each line is preceded by a comment with the file's size, which tells a truncated file from one that
differs; `sha256sum --check` passes over comments.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from potstill.errors import InputError
from potstill.files import sha256_file

_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
_LINE = re.compile(r"(?P<escaped>\\?)(?P<sha256>[0-9a-f]{64}) [ *](?P<path>.+)")


class Entry(NamedTuple):
    """What is recorded of one file; `num_bytes` is None in a list made by `sha256sum` itself."""

    path: str
    sha256: str
    num_bytes: int | None


def walk(folder: Path) -> Iterator[Path]:
    """Yield the regular files below a folder (a file: itself) in the order of their path's text.

    DVC's `.gitignore` files and unfinished outputs (`*.partial`) are not outputs of any stage.
    """
    if folder.is_file():
        yield folder
        return
    # "a-b" sorts before "a/x": a folder takes part under its name with the slash.
    entries = sorted(folder.iterdir(), key=lambda p: p.name + "/" * p.is_dir())
    for entry in entries:
        if entry.name != ".gitignore" and entry.suffix != ".partial" and entry.exists():
            yield from walk(entry)


def write(out: Path, folders: Iterable[Path]) -> tuple[int, int]:
    """Record every file below the folders, as given (relative to the project's root), sorted.

    Returns:
        How many files, and their bytes together.
    """
    num_files = total_bytes = 0
    with out.open("w", encoding="utf-8", errors="surrogateescape") as sums:
        for folder in sorted(folders):
            for path in walk(folder):
                num_bytes = path.stat().st_size
                name = path.as_posix()
                escaped = "".join(_ESCAPES.get(letter, letter) for letter in name)
                mark = "\\" if escaped != name else ""
                sums.write(f"# {num_bytes} bytes\n{mark}{sha256_file(path)}  {escaped}\n")
                num_files += 1
                total_bytes += num_bytes
    return num_files, total_bytes


def read(sums: Path) -> Iterator[Entry]:
    """Yield the entries of a SHA256SUMS file.

    Raises:
        InputError: the file is missing, or a line has another format.
    """
    try:
        file = sums.open(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        raise InputError(f"{sums} is missing: run `dvc repro`, or check out a tag") from None
    num_bytes: int | None = None
    with file:
        for number, line in enumerate(file, 1):
            text = line.rstrip("\n")
            size = re.fullmatch(r"# (\d+) bytes", text)
            if size or not text or text.startswith("#"):
                num_bytes = int(size[1]) if size else num_bytes
                continue
            match = _LINE.fullmatch(text)
            if match is None:
                raise InputError(
                    f"{sums} line {number} is not `SHA256  path`: restore it with "
                    f"`git checkout {sums}` or rewrite it with `dvc repro`"
                )
            path = match["path"]
            if match["escaped"]:
                path = re.sub(r"\\([\\nr])", lambda m: {"n": "\n", "r": "\r"}.get(m[1], m[1]), path)
            yield Entry(path, match["sha256"], num_bytes)
            num_bytes = None
