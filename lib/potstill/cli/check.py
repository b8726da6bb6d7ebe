"""`potstill check`: say of each file whether a policy accepts its code."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from potstill.errors import InputError
from potstill.subset.check import Verdict, check_many
from potstill.subset.policy import load

SUFFIXES = {".py": "python", ".js": "javascript"}
REFUSED, COULD_NOT_CHECK = 1, 2
BATCH = 256  # files a request to the JavaScript parser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `potstill check`."""
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="*.py or *.js")
    parser.add_argument(
        "--policy", default="edgecoder", help="edgecoder, strict, or a YAML file of your own"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def main(args: argparse.Namespace) -> int:
    """Check every file; return 0 all accepted, 1 some refused, 2 some could not be checked."""
    load(args.policy)  # a policy that is none is one message, not one a file
    worst = 0
    for files in _batches(args.files, BATCH):
        for path, found in _check(files, args.policy):
            if isinstance(found, InputError):
                sys.stderr.write(f"{found}\n")
                worst = COULD_NOT_CHECK
            else:
                sys.stdout.write(_json(path, found) if args.json else _text(path, found))
                worst = max(worst, 0 if found.supported else REFUSED)
    return worst


def _batches(files: Sequence[Path], size: int) -> Iterator[Sequence[Path]]:
    for begin in range(0, len(files), size):
        yield files[begin : begin + size]


def _check(files: Sequence[Path], policy: str) -> Iterator[tuple[Path, Verdict | InputError]]:
    """Yield the files in their order, each with its verdict or with why there is none."""
    limit = load(policy).max_bytes
    codes: dict[Path, str] = {}
    found: dict[Path, Verdict | InputError] = {}
    for path in files:
        try:
            codes[path] = _read(path, limit)
        except InputError as error:
            found[path] = error
    for language in SUFFIXES.values():
        paths = [path for path in codes if SUFFIXES[path.suffix] == language]
        verdicts = check_many(language, [codes[path] for path in paths], policy)
        found |= dict(zip(paths, verdicts, strict=True))
    yield from ((path, found[path]) for path in files)


def _read(path: Path, limit: int) -> str:
    """Read a file as an executor would; bytes that are no UTF-8 become U+FFFD.

    Of a file above the limit only so much is read that the check sees that it is too large.
    """
    if path.suffix not in SUFFIXES:
        raise InputError(f"{path}: suffix {path.suffix or 'none'}; allowed: {', '.join(SUFFIXES)}")
    try:
        with path.open("rb") as file:
            return file.read(4 * limit + 4).decode("utf-8", "replace")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: check the path") from None


def _json(path: Path, verdict: Verdict) -> str:
    row = {"file": str(path), **dataclasses.asdict(verdict)}
    return json.dumps(row) + "\n"


def _text(path: Path, verdict: Verdict) -> str:
    if verdict.supported:
        return f"{path}: accepted\n"
    return "".join(f"{path}:{r.line}:{r.column}: {r.message}\n" for r in verdict.reasons)
