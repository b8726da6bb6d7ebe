"""`potstill run`: run files in the sandbox and say what happened."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from potstill.errors import InputError
from potstill.sandbox.api import run
from potstill.sandbox.cases import Limits, RunResult

LANGUAGE_OF_SUFFIX = {".py": "python", ".js": "javascript", ".mjs": "javascript"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    defaults = Limits()
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="a .py or .js file")
    parser.add_argument("--json", action="store_true", help="print one line of JSON for each file")
    parser.add_argument("--policy", help="run only what this subset policy accepts")
    parser.add_argument("--stdin", type=Path, help="a file that the program reads as its input")
    parser.add_argument("--cpu-s", type=float, default=defaults.cpu_s, help="processor time")
    parser.add_argument("--memory-mb", type=int, default=defaults.memory_mb)
    parser.add_argument(
        "--mode",
        choices=["minimum", "all"],
        default="minimum",
        help="which of the sandbox's layers must be in force",
    )


def main(args: argparse.Namespace) -> int:
    """Run every file; return 0 if all ended well, else 1.

    Raises:
        InputError: a file cannot be read or has another suffix, or a layer is missing.
    """
    limits = Limits(cpu_s=args.cpu_s, memory_mb=args.memory_mb)
    stdin = None if args.stdin is None else _read(args.stdin)
    all_ok = True
    for file in args.files:
        language = LANGUAGE_OF_SUFFIX.get(file.suffix)
        if language is None:
            raise InputError(f"{file}: {', '.join(LANGUAGE_OF_SUFFIX)} is allowed as its suffix")
        result = run(
            language,
            _read(file),
            stdin=stdin,
            limits=limits,
            policy=args.policy,
            mode=args.mode,
        )
        all_ok = all_ok and result.ok
        if args.json:
            sys.stdout.write(json.dumps({"file": str(file), **asdict(result)}) + "\n")
        else:
            _show(file, result)
    return 0 if all_ok else 1


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {error}") from None


def _show(file: Path, result: RunResult) -> None:
    sys.stdout.write(result.stdout)
    if result.stdout and not result.stdout.endswith("\n"):
        sys.stdout.write("\n")
    sys.stdout.flush()
    if result.stderr:
        sys.stderr.write(result.stderr.rstrip("\n") + "\n")
    ending = f"ended by {result.killed_by}" if result.killed_by else f"exit code {result.exit_code}"
    if result.queue_reason:
        ending += f", {result.queue_reason}: for a larger model"
    sys.stderr.write(
        f"{file}: {'ok' if result.ok else 'failed'}, {ending}, {result.cpu_ms:.0f} ms of processor "
        f"time, {result.peak_rss_mb:.0f} MB; layers: {', '.join(result.layers) or 'not run'}\n"
    )
