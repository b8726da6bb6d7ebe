"""Choose mined functions and give them tests, so that they become tasks like all others."""

import heapq
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from potstill import files, privacy, subset
from potstill.mining import requests
from potstill.subset.policy import LANGUAGES
from potstill.testing import proof
from potstill.testing.execution import Execution

Row = dict[str, Any]
FUNCTIONS, REJECTED = "functions.jsonl", "rejected.jsonl"  # in the folder that is made
_NEEDED = ("id", "language", "name", "arguments", "docstring", "code", "group")
_SHOWN = ("id", "language", "name", "group")  # of a function that gets no tests
_AT_ONCE = 2048  # programs in one request to a parser
_NOT_TRIED = "not_tried"


def derive(
    functions: Path, out: Path, *, policy: str, most: int, execution: Execution
) -> dict[str, int]:
    """Write the functions that get tests as task rows, the others with the reason; count both.

    Of those inside the subset so many of each language are tried, by the order of their ids. Only
    these are held; of the others their ids are.

    Args:
        functions: JSONL of mined functions.
        out: the folder to make.
        policy: of the subset.
        most: functions of each language that are tried.
        execution: how programs are run.

    Raises:
        InputError: an unknown policy or language, or the sandbox lacks a layer.
    """
    reasons: dict[str, str | None] = dict(_looks(functions, policy))
    tried: set[str] = set()
    for language in LANGUAGES:
        mine = {row["id"] for row in _read(functions) if row["language"] == language}
        tried.update(heapq.nsmallest(most, (each for each in mine if reasons[each] == _NOT_TRIED)))
    chosen: dict[str, Row] = {}
    for row in _read(functions):
        if row["id"] in tried:
            chosen.setdefault(row["id"], row)
    rows = list(chosen.values())
    for row, reason in zip(rows, proof.prove(rows, execution), strict=True):
        reasons[row["id"]] = reason
    tested = [_task(row) for row in rows if reasons[row["id"]] is None]
    out.mkdir()
    files.write_jsonl(out / FUNCTIONS, tested)
    num_rejected = files.write_jsonl(out / REJECTED, _rejected(functions, reasons))
    counts = Counter(f"tested_{row['language']}" for row in tested)
    counts.update(f"rejected_{row['reason']}" for row in files.read_jsonl(out / REJECTED))
    totals = {"num_in": len(tested) + num_rejected, "num_tested": len(tested)}
    return totals | dict(sorted(counts.items()))


def _read(functions: Path) -> Iterator[Row]:
    return files.read_jsonl(functions, _NEEDED)


def _looks(functions: Path, policy: str) -> Iterator[tuple[str, str]]:
    """Yield the id of each function with why it is not to be tried, or that it is not so far.

    What is private leaves this machine where a teacher elsewhere is asked, so it is no task.
    """
    read = _read(functions)
    while rows := list(itertools.islice(read, _AT_ONCE)):
        for language in sorted({row["language"] for row in rows}):
            mine = [row for row in rows if row["language"] == language]
            verdicts = subset.check_many(language, [row["code"] for row in mine], policy)
            for row, verdict in zip(mine, verdicts, strict=True):
                private = privacy.find(f"{requests.of_docstring(row)}\n{row['code']}")
                kind = f"subset_{verdict.reasons[0].kind}" if not verdict.supported else None
                yield row["id"], kind or (private.reason if private else _NOT_TRIED)


def _task(row: Row) -> Row:
    """Return a function with tests as a task row; its docstring asks for it."""
    return {
        **row,
        "task": requests.of_docstring(row),
        "plan": [],
        "family": row["group"],
        "level": 0,
    }


def _rejected(functions: Path, reasons: dict[str, str | None]) -> Iterator[Row]:
    seen: set[str] = set()
    for row in _read(functions):
        reason = reasons[row["id"]] if row["id"] not in seen else "duplicate"
        seen.add(row["id"])
        if reason:
            code = "" if reason in privacy.REASONS else row["code"]
            yield {**{key: row[key] for key in _SHOWN}, "code": code, "reason": reason}
