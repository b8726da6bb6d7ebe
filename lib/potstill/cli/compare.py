"""`potstill compare A B`: two scored models on the same problems, item by item.

Each of the two is a folder of `potstill score`, a file of rows, the name of an export of this
checkout (`data/scores/NAME.jsonl`), or NAME@REV for that of a commit, a tag or an experiment.
"""

import argparse
import sys
from pathlib import Path

from potstill import files
from potstill.cli import paired
from potstill.cli.paired import Paired, Row
from potstill.cli.score import ROWS
from potstill.errors import InputError, missing
from potstill.runtime import artifact

SCORES = Path("data/scores")
KEYS = ("id", "task", "family")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    for name in ("A", "B"):
        parser.add_argument(
            name.lower(), metavar=name, help="a folder of `score`, a .jsonl file, NAME or NAME@REV"
        )
    parser.add_argument("--items", action="store_true", help="list the problems where they differ")


def main(args: argparse.Namespace) -> int:
    """Print what the two have in common and where they differ.

    Raises:
        InputError: one of the two was not scored, or they have no problem in common.
    """
    judged = [[row for row in _rows(name) if "passed" in row] for name in (args.a, args.b)]
    results = paired.compare(*judged)  # of the others no row passes or fails
    for line in table(args.a, args.b, results):
        sys.stdout.write(f"{line}\n")
    if args.items:
        for result in results:
            for side, ids in (("A", result.only_first), ("B", result.only_second)):
                sys.stdout.writelines(f"{result.task} only {side}: {name}\n" for name in ids)
    return 0


def table(first: str, second: str, results: list[Paired]) -> list[str]:
    """Return the lines of the table, and one for each task whose problems are not the same."""
    heads = f"{'task':<12}{'n':>6}{'A':>6}{'B':>6}{'both':>6}{'only A':>8}{'only B':>8}   "
    heads += f"{'A - B in points, 95 %':<26}{'McNemar p':>10}"
    lines = [f"A = {first}, B = {second}; passed, of the problems that both tried", heads]
    for result in results:
        difference = "all of one family"
        if result.difference is not None:
            value, low, high, _ = (100 * number for number in result.difference)
            difference = f"{value:+.1f} ({low:+.1f} to {high:+.1f})"
        lines.append(
            f"{result.task:<12}{result.n:>6}{result.first:>6}{result.second:>6}{result.both:>6}"
            f"{len(result.only_first):>8}{len(result.only_second):>8}   {difference:<26}"
            f"{result.p:>10.3g}"
        )
    lines += [
        f"{result.task}: the cap cut off {result.cut[0]} answers of A and {result.cut[1]} of B; "
        "they count as not passed"
        for result in results
        if any(result.cut)
    ]
    lines += [
        f"{result.task}: {result.left_out} problems that only one of them tried are left out"
        for result in results
        if result.left_out
    ]
    return lines


def _rows(name: str) -> list[Row]:
    """Return the rows that a name leads to.

    Raises:
        InputError: it leads nowhere, or to something that holds no rows.
    """
    path = Path(name)
    if path.is_dir():
        if (path / artifact.NAME).exists() and not (path / ROWS).exists():
            raise InputError(f"{path} is an artefact: `potstill score {path}` first")
        if not (path / ROWS).exists():
            raise InputError(f"{path} holds no {ROWS}: name a folder that `potstill score` wrote")
        path /= ROWS
    elif not path.is_file():
        if "@" in name:
            return _of_revision(*name.rsplit("@", 1))
        path = SCORES / f"{name}.jsonl"
        if not path.is_file():
            known = sorted(found.stem for found in SCORES.glob("*.jsonl"))
            raise InputError(
                f"{name} is no folder, no file and no scored export of this checkout "
                f"({', '.join(known) or 'there is none'})"
            )
    return list(files.read_jsonl(path, KEYS))


def _of_revision(name: str, revision: str) -> list[Row]:
    """Return the rows of an export as a commit, a tag or an experiment has them, from DVC's cache.

    Raises:
        InputError: there is no such revision or export, or its rows were not pulled.
        MissingPackageError: DVC is not installed.
    """
    try:
        import dvc.api
        from dvc.exceptions import DvcException
        from dvc.scm import SCMError
    except ModuleNotFoundError:
        raise missing("NAME@REV", "dvc") from None
    path = (SCORES / f"{name}.jsonl").as_posix()
    try:
        text = dvc.api.read(path, rev=revision, encoding="utf-8")
    except (DvcException, SCMError, FileNotFoundError) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path} of {revision} cannot be read ({said}): check both names, or "
            f"`git checkout {revision}` and `dvc pull {path}`"
        ) from None
    lines = enumerate(text.splitlines(), 1)
    return [files.parse_row(Path(f"{path}@{revision}"), n, line, KEYS) for n, line in lines]
