"""`potstill check`: say of each file whether a policy accepts its code."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from potstill.errors import InputError
from potstill.subset.check import Verdict, check

SUFFIXES = {".py": "python", ".js": "javascript"}
REFUSED, COULD_NOT_CHECK = 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `potstill check`."""
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="*.py or *.js")
    parser.add_argument("--policy", default="edgecoder", help="name of a policy, or a YAML file")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def main(args: argparse.Namespace) -> int:
    """Check every file; return 0 all accepted, 1 some refused, 2 some could not be checked."""
    worst = 0
    for path in args.files:
        try:
            verdict = _check(path, args.policy)
        except InputError as error:
            sys.stderr.write(f"{error}\n")
            worst = COULD_NOT_CHECK
            continue
        sys.stdout.write(_json(path, verdict) if args.json else _text(path, verdict))
        worst = max(worst, 0 if verdict.supported else REFUSED)
    return worst


def _check(path: Path, policy: str) -> Verdict:
    language = SUFFIXES.get(path.suffix)
    if language is None:
        raise InputError(f"{path}: suffix {path.suffix or 'none'}; allowed: {', '.join(SUFFIXES)}")
    try:
        code = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}: check the path") from None
    return check(language, code, policy)


def _json(path: Path, verdict: Verdict) -> str:
    row = {"file": str(path), **dataclasses.asdict(verdict)}
    return json.dumps(row) + "\n"


def _text(path: Path, verdict: Verdict) -> str:
    if verdict.supported:
        return f"{path}: accepted\n"
    return "".join(f"{path}:{r.line}:{r.column}: {r.message}\n" for r in verdict.reasons)
