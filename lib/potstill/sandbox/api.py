"""Run untrusted code: one program, or many in order."""

import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from potstill.errors import InputError
from potstill.sandbox import grading

Tests = list[dict[str, Any]] | str
Mode = Literal["require", "best_effort"]


@dataclass(frozen=True)
class Limits:
    """What one program may use; what it exceeds ends it."""

    cpu_s: float = 4.0  # processor time: the same on a busy machine
    wall_s: float = 30.0  # generous: only for programs that sleep or wait
    memory_mb: int = 512  # address space
    output_bytes: int = 65536  # of stdout and of stderr
    file_mb: int = 16  # of the private /tmp
    open_files: int = 64
    processes: int = 16  # threads; a program can start no process


@dataclass(frozen=True)
class Case:
    """One program with what decides whether it is right."""

    language: str  # "python" or "javascript"
    code: str
    tests: Tests | None = None  # [{"args", "expected"}], or source that defines check(candidate)
    entry_point: str | None = None  # the function that the tests call
    stdin: str | None = None
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class RunResult:
    """What happened to one program."""

    ok: bool  # exit code 0 and every test passed
    stdout: str
    stderr: str
    exit_code: int  # 124: a time limit
    duration_ms: float
    cpu_ms: float
    peak_rss_mb: float
    killed_by: str | None  # "cpu", "wall", "memory", "output" or None
    queue_for_cloud: bool = False
    queue_reason: str | None = None  # outside_subset, timeout, model_limit or manual
    tests_passed: int = 0
    tests_total: int = 0
    layers: tuple[str, ...] = ()


def run(
    language: str,
    code: str,
    *,
    tests: Tests | None = None,
    entry_point: str | None = None,
    stdin: str | None = None,
    limits: Limits | None = None,
    policy: str | None = None,
    mode: Mode = "require",
) -> RunResult:
    """Run one program; with a `policy`, only if the subset accepts it."""
    if policy is not None:
        from potstill import subset

        verdict = subset.check(language, code, policy)
        if not verdict.supported:
            text = "; ".join(f"{r.kind}: {r.detail}" for r in verdict.reasons)
            return RunResult(False, "", text, 1, 0, 0, 0, None, True, "outside_subset")
    return _run(Case(language, code, tests, entry_point, stdin, limits or Limits()))


def run_many(cases: Iterable[Case], workers: int = 2, *, mode: Mode = "require") -> list[RunResult]:
    """Run many programs and return their results in the order of the cases."""
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(_run, cases))


_HARNESS = """
import json, sys
job = json.load(sys.stdin)
import io; sys.stdin = io.StringIO(job["stdin"])
if job["language"] == "javascript":
    sys.path.insert(0, job["path"]); import _quickjs
    c = _quickjs.Context(); lines = []
    c.add_callable("__log", lambda s: (sys.stdout.write(("\\n" if lines else "") + s), lines.append(1)) and None)
    c.eval("globalThis.console = {log: ((w) => (...a) => w(a.join(' ')))(__log)}; delete globalThis.__log")
    try:
        c.eval(job["code"])
        call = lambda f, a: json.loads(c.eval("JSON.stringify((" + f + ")(..." + json.dumps(a) + ")) ?? 'null'"))
        out = [call(job["entry_point"], a) for a in job["args"]]
    except _quickjs.JSException as e:
        print(str(e).strip(), file=sys.stderr); sys.exit(1)
else:
    space = {"__name__": "__main__" if job["args"] is None else "program"}
    exec(compile(job["code"], "<string>", "exec"), space)
    if job["check"]:
        exec(job["check"], space); space["check"](space[job["entry_point"]])
    out = [space[job["entry_point"]](*a) for a in job["args"] or []]
sys.stdout.flush(); print("\\n@@" + json.dumps(out), file=sys.stderr)
"""


def _run(case: Case) -> RunResult:
    if case.language not in ("python", "javascript"):
        raise InputError(f"language {case.language!r}: python or javascript is allowed")
    import _quickjs

    tests = case.tests if isinstance(case.tests, list) else []
    job = {
        "language": case.language,
        "code": case.code,
        "entry_point": case.entry_point,
        "stdin": case.stdin or "",
        "path": re.sub(r"[^/]*$", "", _quickjs.__file__),
        "args": [test["args"] for test in tests]
        if case.tests is not None or case.language == "javascript"
        else None,
        "check": case.tests if isinstance(case.tests, str) else None,
    }
    cpu = int(case.limits.cpu_s) + 1

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))
        resource.setrlimit(resource.RLIMIT_AS, (case.limits.memory_mb << 20,) * 2)

    started = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-X", "utf8", "-c", _HARNESS],
            input=json.dumps(job).encode(),
            capture_output=True,
            timeout=case.limits.wall_s,
            preexec_fn=limit,
            cwd="/tmp",
        )
        code, out, err = (
            done.returncode,
            done.stdout.decode(errors="replace"),
            done.stderr.decode(errors="replace"),
        )
    except subprocess.TimeoutExpired:
        code, out, err = -9, "", ""
    ms = (time.monotonic() - started) * 1000
    if code == -9:
        err += "\nExecution timed out"
    replies = []
    if "\n@@" in err:
        err, _, text = err.rpartition("\n@@")
        replies = json.loads(text)
    total = len(tests) or int(isinstance(case.tests, str))
    passed = (
        sum(map(grading.equal, replies, [t["expected"] for t in tests]))
        if tests
        else int(code == 0) * total
    )
    ok = code == 0 and passed == total
    result = RunResult(
        ok,
        out,
        err,
        124 if code == -9 else int(not ok),
        ms,
        ms,
        0.0,
        "cpu" if code == -9 else None,
        tests_passed=passed,
        tests_total=total,
        layers=("rlimits",),
    )
    if code == -9:
        result = replace(result, queue_for_cloud=True, queue_reason="timeout")
    return result
