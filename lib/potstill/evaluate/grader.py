"""Answers in, rows out: each is judged while others are written, and kept."""

import json
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from potstill.evaluate import answers
from potstill.models import formats
from potstill.runtime import Answer
from potstill.tasks import Problem

Row = dict[str, Any]
Judge = Callable[[Problem, int, Answer], Row]  # the number of the sample is the second
WORKERS = 2  # programs at a time: the model has the processors, and a program takes milliseconds


class Grader:
    """Grades answers in threads of its own; a row is on disk before it counts as finished.

    Args:
        scratch: folder of rows that survive a crash; None keeps them in memory alone.
    """

    def __init__(self, scratch: Path | None) -> None:
        self._path = scratch / "rows.jsonl" if scratch else None
        self._finished = _read(self._path) if self._path else {}
        self._lock = threading.Lock()
        self._pending: list[Future[None]] = []

    def __enter__(self) -> Self:
        self._threads = ThreadPoolExecutor(WORKERS)
        self._file = self._path.open("a", encoding="utf-8") if self._path else None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._threads.shutdown(cancel_futures=error is not None)
        if self._file is not None:
            self._file.close()

    def has(self, problem: Problem, sample: int) -> bool:
        """Say whether an answer was graded, now or before a crash."""
        return (problem.task, problem.id, sample) in self._finished

    def take(self, problem: Problem, sample: int, answer: Answer, judge: Judge) -> None:
        """Grade an answer some time soon; an error in grading an earlier one is raised here."""
        self._pending = [future for future in self._pending if not _is_graded(future)]
        self._pending.append(
            self._threads.submit(lambda: self.keep(judge(problem, sample, answer)))
        )

    def rows(self, wanted: Sequence[tuple[Problem, int]]) -> list[Row]:
        """Return the rows of answers in order, when all that were taken are graded."""
        pending, self._pending = self._pending, []
        for future in pending:
            future.result()
        return [self._finished[problem.task, problem.id, sample] for problem, sample in wanted]

    def keep(self, row: Row) -> None:
        """Put a row on disk: what it is of is finished."""
        with self._lock:
            if self._file is not None:
                self._file.write(json.dumps(row, allow_nan=False) + "\n")
                self._file.flush()
                os.fsync(self._file.fileno())
            self._finished[_key(row)] = row


def header(problem: Problem, sample: int = 0) -> Row:
    """Return what every row says of its problem."""
    return {
        "id": problem.id,
        "task": problem.task,
        "family": problem.family,
        "level": problem.level,
        "language": problem.language,
        "format": problem.format,
        "sample": sample,
    }


def ending(answer: Answer) -> dict[str, bool]:
    """Return hit_limit, if the cap cut an answer off, and repeats, if it ran into a loop instead.

    Neither holds where the first code block is closed: nothing behind it counts.
    """
    closed = formats.has_closed_block(answer.text)
    cut = answer.finish in ("length", "context")
    loops = answers.is_stuck if cut else answers.repeats
    repeats = not closed and loops(answer.text)
    return {"hit_limit": cut and not closed and not repeats, "repeats": repeats}


def _is_graded(future: Future[None]) -> bool:
    if future.done():
        future.result()  # raises what went wrong
    return future.done()


def _key(row: Row) -> tuple[str, str, int]:
    return row["task"], row["id"], row["sample"]


def _read(path: Path) -> dict[tuple[str, str, int], Row]:
    """Return the rows of a file whose last line may be torn; that line is cut off."""
    if not path.exists():
        return {}
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(path, len(whole))
    return {_key(row): row for row in map(json.loads, whole.splitlines())}
