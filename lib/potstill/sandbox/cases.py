"""What is asked of the sandbox and what it answers."""

import re
from dataclasses import dataclass, field
from typing import Any

from potstill.errors import InputError

LANGUAGES = ("python", "javascript")
Tests = list[dict[str, Any]] | str
_SMALLEST_MEMORY_MB = 64  # below, Python itself does not run
_NAME = re.compile(r"[A-Za-z_$][\w$]*")


@dataclass(frozen=True)
class Limits:
    """What one program may use; exceeding one ends it."""

    cpu_s: float = 4.0  # processor time: the same on a busy machine
    wall_s: float = 30.0  # generous: it is there for programs that sleep or wait
    memory_mb: int = 512  # address space
    output_bytes: int = 65536  # of stdout and of stderr, each
    file_mb: int = 16  # of the private folder, and of each file
    open_files: int = 64
    processes: int = 16  # threads: no program can start a process

    def __post_init__(self) -> None:
        if min(self.cpu_s, self.wall_s, self.output_bytes, self.file_mb, self.processes) <= 0:
            raise InputError(f"a limit of 0 or less lets nothing run, got {self}")
        if self.memory_mb < _SMALLEST_MEMORY_MB:
            raise InputError(
                f"memory_mb {self.memory_mb}: at least {_SMALLEST_MEMORY_MB}, which Python needs"
            )


@dataclass(frozen=True)
class Case:
    """One program, with what decides whether it is right."""

    language: str  # one of LANGUAGES
    code: str
    # [{"args", "expected"}] of JSON values, or source: Python that defines check(candidate), or
    # JavaScript whose console.assert must hold
    tests: Tests | None = None
    entry_point: str | None = None  # the function that the tests call
    stdin: str | None = None
    limits: Limits = field(default_factory=Limits)
    tests_language: str = "python"  # of tests given as source
    hash_seed: int = 0  # of Python's texts: the order of a set follows from it

    def __post_init__(self) -> None:
        if self.language not in LANGUAGES:
            raise InputError(f"language {self.language!r}: {' or '.join(LANGUAGES)} is allowed")
        if self.tests_language not in LANGUAGES:
            raise InputError(
                f"tests_language {self.tests_language!r}: {' or '.join(LANGUAGES)} is allowed"
            )
        if self.tests is None:
            return
        if self.entry_point is None or not _NAME.fullmatch(self.entry_point):
            raise InputError(f"tests need the name of a function, got {self.entry_point!r}")
        if not self.tests:
            raise InputError("tests are empty: a program without a test cannot be right; give None")
        if isinstance(self.tests, list):
            for number, test in enumerate(self.tests):
                if not {"args", "expected"} <= test.keys() or not isinstance(test["args"], list):
                    raise InputError(f"test {number}: a list args and expected are needed: {test}")


@dataclass(frozen=True)
class RunResult:
    """What happened to one program."""

    ok: bool  # ran to its end with exit code 0, and every test passed
    stdout: str
    stderr: str
    exit_code: int  # 124: a time limit; with tests, 1: not all passed
    duration_ms: float
    cpu_ms: float
    peak_rss_mb: float
    # "cpu", "wall", "memory", "output", "files" (too many or too large, where no file system of its
    # own says so), "reply" (no reply that a run can make), "sandbox" (the server ended with it,
    # twice), a signal's name, or None
    killed_by: str | None
    queue_for_cloud: bool = False
    queue_reason: str | None = None  # outside_subset, timeout, model_limit or manual
    tests_passed: int = 0
    tests_total: int = 0  # 1 for tests given as source
    failure: str = ""  # the first of the tests given as values that went wrong, in a test's words
    layers: tuple[str, ...] = ()  # what stood between the program and the machine
