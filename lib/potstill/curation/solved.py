"""Which requests of mined functions the teacher solved, and which of two a function keeps.

A function is asked for in the words of its docstring and, where the teacher wrote some from its
code, in these. A request is solved where an answer to it is right by itself and passes the
function's tests. The teacher's words are used where they are solved, else the docstring.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from potstill import files

Row = dict[str, Any]
FILE = "requests.jsonl"  # in the folder of a shard
DOCSTRING, TEACHER = "docstring", "teacher"  # whose words a request has
_PLURAL = {DOCSTRING: "docstrings", TEACHER: "own_requests"}


def of_shard(accepted: Iterable[Row], rejected: Iterable[Row]) -> Iterator[Row]:
    """Yield whose request of which function a teacher's answer in a shard solves, or does not."""
    for rows, solved in ((accepted, True), (rejected, False)):
        for row in rows:
            if row["origin"] == "teacher" and "function" in row:
                where = {"function": row["function"], "request_by": row["request_by"]}
                yield {**where, "solved": solved}


@dataclass(frozen=True)
class Requests:
    """The requests that were asked.

    Attributes:
        asked: function and whose words.
        solved: those of them with an answer that passed.
    """

    asked: frozenset[tuple[str, str]]
    solved: frozenset[tuple[str, str]]

    def unused(self, row: Row) -> str | None:
        """Return why an accepted row's request is not used, None where it is."""
        if "function" not in row:
            return None
        if row["request_by"] == TEACHER:
            return None if (row["function"], TEACHER) in self.solved else "request_unsolved"
        return "other_request" if (row["function"], TEACHER) in self.solved else None

    def marked(self, row: Row) -> Row:
        """Return a mined row with a mark where its request was solved; others as they are."""
        is_mined = row["origin"] == "mined"
        if is_mined and (row["function"], row["request_by"]) in self.solved:
            return {**row, "request_checked": True}
        return row

    def counts(self) -> "Counter[str]":
        """Return requests that were asked, and those that were solved, by whose words they have."""
        found: Counter[str] = Counter()
        for name, some in (("asked", self.asked), ("solved", self.solved)):
            found.update(f"{_PLURAL[by]}_{name}" for _, by in some)
        return found


def read(parts: Sequence[Path]) -> Requests:
    """Return the requests of all shards."""
    rows = [row for folder in parts for row in files.read_jsonl(folder / FILE)]
    by = {(row["function"], row["request_by"]): False for row in rows}
    by |= {(row["function"], row["request_by"]): True for row in rows if row["solved"]}
    return Requests(frozenset(by), frozenset(key for key, solved in by.items() if solved))
