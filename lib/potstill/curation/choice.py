"""The outputs of all shards as one: surplus answers put aside, faults mended by answers.

What was executed in shards is chosen among here, since answers to one task may lie in several.
"""

import itertools
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from potstill import files
from potstill.curation import shards, solved, variety

Row = dict[str, Any]
OUTPUTS = ("accepted", "reflect", "rejected")


def write(parts: Sequence[Path], out: Path, most: int, ratio: float) -> "Counter[str]":
    """Join the outputs of shards into a folder and return by how much their counts change.

    Of a task's answers of the teacher the shortest are kept; the first of them mends what failed of
    the task, and else the reference does, whose origin the row has then. Of a mined function's
    two requests one is kept. What failed of it is mended by an answer alone: where none passed,
    the request may be at fault.

    Args:
        parts: folders with a JSONL file of each of `OUTPUTS`, in order.
        out: the folder to make.
        most: answers that are kept of a task.
        ratio: times as long as the task's shortest solution that one may be.
    """
    requests = solved.read(parts)
    answers = [row for row in _read(parts, "accepted") if row["origin"] == "teacher"]
    answers = [row for row in answers if not requests.unused(row)]
    surplus = {row["id"]: why for row, why in variety.surplus(answers, most, ratio)}
    kept = [row for row in answers if row["id"] not in surplus]
    out.mkdir()
    changes = requests.counts()
    if surplus or requests.asked:
        dropped: list[Row] = []

        def left() -> Iterator[Row]:
            for row in _read(parts, "accepted"):
                why = surplus.get(row["id"]) or requests.unused(row)
                if why:
                    dropped.append(shards.rejected(row, why, ""))
                    changes.update({f"rejected_{why}": 1})
                    changes.subtract({"kept": 1, f"kept_{row['origin']}": 1})
                else:
                    yield requests.marked(row)

        files.write_jsonl(out / "accepted.jsonl", left())
        both = itertools.chain(_read(parts, "rejected"), dropped)
        files.write_jsonl(out / "rejected.jsonl", both)
    else:
        for name in ("accepted", "rejected"):
            _join(parts, name, out)
    num_before = sum(1 for _ in _read(parts, "reflect"))
    num_reflect = files.write_jsonl(out / "reflect.jsonl", _mended(_read(parts, "reflect"), kept))
    changes.subtract({"reflect": num_before - num_reflect})
    return changes


def _read(parts: Iterable[Path], name: str) -> Iterator[Row]:
    for folder in parts:
        yield from files.read_jsonl(folder / f"{name}.jsonl")


def _join(parts: Iterable[Path], name: str, out: Path) -> None:
    with (out / f"{name}.jsonl").open("wb") as file:
        for folder in parts:
            with (folder / f"{name}.jsonl").open("rb") as part:
                shutil.copyfileobj(part, file)


def _mended(reflect: Iterable[Row], answers: Sequence[Row]) -> Iterator[Row]:
    """Yield rows with a real error; a teacher's own answer mends the teacher's."""
    fixes: dict[tuple[str, str], Row] = {}
    for row in sorted(answers, key=lambda row: (len(row["code"]), row["code"])):
        fixes.setdefault((row["language"], row["task"]), row)
    for row in reflect:
        fix = fixes.get((row["language"], row["task"]))
        if row["origin"] != "teacher":
            yield row
        elif fix is not None:
            yield {**row, "fix": fix["code"], "teacher": fix["teacher"]}
        elif "function" not in row:
            yield {**row, "origin": "reference"}
