"""Answers in, rows out: code is taken from an answer, run, checked against the subset, kept."""

import json
import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from potstill import sandbox, subset
from potstill.evaluate import answers
from potstill.models import formats
from potstill.runtime import Answer
from potstill.sandbox import Mode
from potstill.tasks import Problem

Row = dict[str, Any]
WORKERS = 2  # programs at a time: the model has the processors, and a program takes milliseconds
FLAGS = (
    "passed", "lenient_passed", "inside_subset", "malformed", "hit_limit", "repeats",
)  # fmt: skip


class Rules(Protocol):
    """What of the settings decides a verdict."""

    @property
    def policy(self) -> str: ...  # noqa: D102
    @property
    def cpu_s(self) -> float: ...  # noqa: D102
    @property
    def sandbox(self) -> Mode: ...  # noqa: D102


class Grader:
    """Grades answers in threads of its own; a row is on disk before it counts as finished.

    Args:
        rules: the subset policy and the limits.
        scratch: folder of rows that survive a crash; None keeps them in memory alone.
    """

    def __init__(self, rules: Rules, scratch: Path | None) -> None:
        self._rules = rules
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

    def take(self, problem: Problem, sample: int, answer: Answer) -> None:
        """Grade an answer some time soon; an error in grading an earlier one is raised here."""
        self._pending = [future for future in self._pending if not _is_graded(future)]
        self._pending.append(self._threads.submit(self._grade, problem, sample, answer))

    def rows(self, wanted: Sequence[tuple[Problem, int]]) -> list[Row]:
        """Return the rows of answers in order, when all that were taken are graded."""
        pending, self._pending = self._pending, []
        for future in pending:
            future.result()
        return [self._finished[problem.task, problem.id, sample] for problem, sample in wanted]

    def _grade(self, problem: Problem, sample: int, answer: Answer) -> None:
        row = self.row(problem, sample, answer)
        with self._lock:
            if self._file is not None:
                self._file.write(json.dumps(row, allow_nan=False) + "\n")
                self._file.flush()
                os.fsync(self._file.fileno())
            self._finished[_key(row)] = row

    def row(self, problem: Problem, sample: int, answer: Answer) -> Row:
        """Return what is said of one answer.

        Keys: id, task, family, level, language, sample; passed and lenient_passed, of the code that
        the agent's rule takes and of the code that a patient reader finds; inside_subset, of the
        former; malformed, if the two are different; repeats, if it ran into a loop; hit_limit, if
        the cap cut it off otherwise; reason, why it did not pass; code.
        """
        strict = formats.extract_code(answer.text)
        lenient = answers.lenient_code(answer.text, problem.language, problem.entry_point)
        inside = subset.check(problem.language, strict, self._rules.policy).supported
        run = self._run(problem, strict)
        passed, reason = run.ok, _reason(run)
        lenient_passed = passed or (lenient != strict and self._run(problem, lenient).ok)
        if problem.inside_only and not inside:
            passed, reason = False, reason or "outside the subset"
            lenient_inside = subset.check(problem.language, lenient, self._rules.policy).supported
            lenient_passed = lenient_passed and lenient_inside
        closed = formats.has_closed_block(answer.text)
        cut = answer.finish in ("length", "context")
        least = answers.LIKELY if cut else answers.SURE
        repeats = not closed and answers.repeats(answer.text, least)
        return {
            "id": problem.id,
            "task": problem.task,
            "family": problem.family,
            "level": problem.level,
            "language": problem.language,
            "sample": sample,
            "passed": passed,
            "lenient_passed": lenient_passed,
            "inside_subset": inside,
            "malformed": lenient != strict,
            "hit_limit": cut and not closed and not repeats,
            "repeats": repeats,
            "reason": reason,
            "code": strict,
        }

    def _run(self, problem: Problem, code: str) -> sandbox.RunResult:
        case = problem.case(code, sandbox.Limits(cpu_s=self._rules.cpu_s))
        return sandbox.run_many([case], 1, mode=self._rules.sandbox)[0]


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


def _reason(run: sandbox.RunResult) -> str:
    """Return why a program did not pass, in a few words; empty when it passed."""
    if run.ok:
        return ""
    if run.killed_by:
        return f"killed: {run.killed_by}"
    lines = [line for line in run.stderr.splitlines() if line.strip()]
    if lines:
        return lines[-1].strip()[:120]
    return f"{run.tests_passed} of {run.tests_total} tests passed"
