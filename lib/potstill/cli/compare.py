"""`potstill compare A B`: two scored models on the same problems, item by item.

Each of the two is a folder of `potstill score`, a file of rows, the name of an export of this
checkout (`data/scores/NAME.jsonl`), or NAME@REV for that of a commit, a tag or an experiment.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

from potstill import files
from potstill.cli import paired, paired_values
from potstill.cli.paired import Paired, Row
from potstill.cli.paired_values import PairedValue
from potstill.cli.score import ABOUT, ROWS
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
    rows = [_rows(name) for name in (args.a, args.b)]
    judged = [[row for row in found if "passed" in row] for found in rows]
    values = paired_values.compare(*rows)
    results = paired.compare(*judged) if paired_values.meet(*judged) or not values else []
    what = "; passed, of the problems that both tried" if results else ""
    lines = [f"A = {args.a}, B = {args.b}{what}"]
    lines += table(results) if results else []
    lines += table_of_values(values) if values else []
    if _asked(args.a) != _asked(args.b):
        lines.append("A and B were asked in different words: see the prompt in their about.json")
    sys.stdout.writelines(f"{line}\n" for line in lines)
    if args.items:
        for result in results:
            for side, ids in (("A", result.only_first), ("B", result.only_second)):
                sys.stdout.writelines(f"{result.task} only {side}: {name}\n" for name in ids)
    return 0


def table(results: list[Paired]) -> list[str]:
    """Return the lines of the table, and one for each task whose problems are not the same."""
    heads = f"{'task':<12}{'n':>6}{'A':>6}{'B':>6}{'both':>6}{'only A':>8}{'only B':>8}   "
    heads += f"{'A - B in points, 95 %':<26}{'McNemar p':>10}"
    lines = [heads]
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


def table_of_values(values: list[PairedValue]) -> list[str]:
    """Return the lines of what no row passes or fails, and one for each task with rows left out."""
    heads = f"{'task':<12}{'measure':<16}{'n':>6}{'A':>9}{'B':>9}   {'paired, 95 %':<36}{'p':>10}"
    lines = ["measured, over the rows that both could read:", heads]
    for item in values:
        shown, p = item.reason, ""
        if item.difference is not None:
            value, low, high, _, chance = item.difference
            name, form = ("A / B", ".3f") if item.is_ratio else ("A - B", "+.4f")
            shown = f"{name} {value:{form}} ({low:{form}} to {high:{form}})"
            p = f"{chance:.3g}"
        lines.append(
            f"{item.task:<12}{item.measure:<16}{item.n:>6}{item.first:>9.4f}{item.second:>9.4f}"
            f"   {shown:<36}{p:>10}"
        )
    left_out = {item.task: item.left_out for item in values if item.left_out}
    return lines + [
        f"{task}: {count} rows that only one of them has or could read are left out"
        for task, count in left_out.items()
    ]


def _asked(name: str) -> Any:  # noqa: ANN401 - JSON
    """Return the messages that a scoring was asked in, None for each task's own."""
    about = Path(name) / ABOUT
    return files.read_json(about).get("prompt") if about.is_file() else None


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
