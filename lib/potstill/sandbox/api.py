"""Run untrusted code: one program, or many in order.

What holds the program: a process namespace of its own, whose end is the end of all in it; user,
mount, network and IPC namespaces without a network, in a root that holds Python's library and the
system's shared libraries, read-only; an empty private /tmp; no capabilities and no way to get any;
Landlock; a seccomp deny list without execve, new processes, sockets and much of the kernel; limits
on processor time, memory, threads, files and output. `RunResult.layers` names what was in force.

Where namespaces are refused, as by the default profile of many containers, Landlock alone limits
what a program can read to those same folders, and seccomp refuses besides what would reach other
processes and the attributes of files. Then a program can still ask whether a file exists and which
number its parent has. Root's programs run as nobody. Where modes hide Python's library from nobody
they keep the capability to read all, which leaves the choice to Landlock; a root without that one
or without the right to become nobody runs them as itself, and the kernel does not count its
threads.

With all layers a program's private, empty working folder is a /tmp of limited size. Where
namespaces are refused it is a folder in shared memory or the host's /tmp, which Landlock lets this
one program write and which goes with it; a relative path, HOME, TMPDIR and `tempfile` lead to
either. What differs there: the name; /tmp/x by its full path is the host's and refused; who writes
more than the limits is ended (`killed_by` "files") within milliseconds where a file system would
say that it is full, and folders 200 deep count as too much; os.chmod and os.utime succeed in the
folder without effect; before Linux 5.19 no file can be moved between folders. `inside.folders` says
what of this is measured.

Who decides: with tests as a list, this process alone knows what is expected; it sends arguments,
never expected values, and compares what comes back. With tests as source, a judge in a process of
its own runs check(candidate) and asks the program for each call. Either way a program
can only claim what its function returned: exit codes, printed text, patched built-ins, forged
methods like __eq__, other replies and an early end do not pass a test.

The judge outlives a case: a test's source is trusted not to spoil it for the next.

Not covered: a bug in the kernel that all layers share; timing and load as side channels; a helper
that a test's source takes from the program, such as an encoder whose decoder is under test, is the
program's word (put it in the test's source); arguments that a function changes in place stay
unchanged in the test; values of the program's own classes cannot leave it and fail.
"""

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from potstill.errors import InputError
from potstill.sandbox import exchange
from potstill.sandbox.cases import Case, Limits, RunResult, Tests
from potstill.sandbox.client import Pool, ServerGone

Mode = Literal["all", "minimum"]
_ALWAYS = ("no_new_privs", "seccomp", "rlimits")  # without these nothing runs
_TRIES = 2  # of a case whose server ended with it
_pool = Pool()
_alone = threading.Lock()  # held while timed-out cases run again


def run(
    language: str,
    code: str,
    *,
    tests: Tests | None = None,
    entry_point: str | None = None,
    stdin: str | None = None,
    limits: Limits | None = None,
    policy: str | None = None,
    mode: Mode = "minimum",
) -> RunResult:
    """Run one program, for its exit code and output or for what its tests say.

    Args:
        language: "python" or "javascript".
        code: the program's source.
        tests: [{"args": [...], "expected": ...}] of JSON values; floats match within 1e-6. Or
            Python source that defines check(candidate), as HumanEval has it.
        entry_point: the function that the tests call.
        stdin: what the program reads; nothing by default.
        limits: `Limits()` by default.
        policy: run only what `potstill.subset.check` accepts under this policy.
        mode: "minimum" refuses to run without Landlock or a mount namespace, seccomp and limits;
            "all" refuses where any layer is missing.

    Raises:
        InputError: a layer is missing, or the case makes no sense.
    """
    if policy is not None:
        refusal = _outside_subset(language, code, policy)
        if refusal is not None:
            return refusal
    case = Case(language, code, tests, entry_point, stdin, limits or Limits())
    result = _execute(case, mode)
    # Processor time hardly depends on what else the machine does; wall time does.
    return _execute(case, mode) if result.killed_by == "wall" else result


def run_many(cases: Iterable[Case], workers: int = 4, *, mode: Mode = "minimum") -> list[RunResult]:
    """Run many programs at a time and return their results in the order of the cases.

    Twice as many workers as cores: a worker waits while the kernel takes namespaces down.

    Those that hit a time limit run once more at the end, one by one, so that a verdict does not
    depend on what ran beside it.

    Raises:
        InputError: as `run`.
    """
    cases = list(cases)
    with ThreadPoolExecutor(workers) as threads:
        results = list(threads.map(lambda case: _execute(case, mode), cases))
    for number, result in enumerate(results):
        if result.killed_by in exchange.TIMEOUTS:
            with _alone:
                results[number] = _execute(cases[number], mode)
    return results


def _outside_subset(language: str, code: str, policy: str) -> RunResult | None:
    from potstill.subset import check

    verdict = check(language, code, policy)
    if verdict.supported:
        return None
    text = "\n".join(f"{reason.kind}: {reason.detail}" for reason in verdict.reasons)
    return RunResult(
        ok=False,
        stdout="",
        stderr=text,
        exit_code=1,
        duration_ms=0.0,
        cpu_ms=0.0,
        peak_rss_mb=0.0,
        killed_by=None,
        queue_for_cloud=True,
        queue_reason="outside_subset",
    )


def _execute(case: Case, mode: Mode) -> RunResult:
    problem = ""
    for _ in range(_TRIES):
        server = _pool.take(case.hash_seed)
        try:
            _check_layers(server.layers, server.missing, mode)
            result = exchange.execute(server, case)
        except ServerGone as error:
            server.close()
            problem = str(error)
            continue
        except BaseException:
            server.close()  # a case may still run in it
            raise
        _pool.give(server)
        return result
    return RunResult(
        ok=False,
        stdout="",
        stderr=f"Execution ended with the sandbox: {problem}",
        exit_code=1,
        duration_ms=0.0,
        cpu_ms=0.0,
        peak_rss_mb=0.0,
        killed_by="sandbox",
    )


def layers() -> tuple[tuple[str, ...], dict[str, str]]:
    """Return (the layers in force on this machine, those that are missing with the reason).

    Raises:
        InputError: no server starts here.
    """
    server = _pool.take()
    _pool.give(server)
    return server.layers, server.missing


def check(mode: Mode) -> None:
    """Find out before any work whether programs may run here in this mode.

    Raises:
        InputError: they may not; says what is in force, what is missing and what to do.
    """
    _check_layers(*layers(), mode)


def _check_layers(in_force: tuple[str, ...], missing: dict[str, str], mode: Mode) -> None:
    enough = {"landlock", "mount"} & set(in_force) and set(_ALWAYS) <= set(in_force)
    if enough and (mode == "minimum" or not missing):
        return
    layers_of: dict[str, list[str]] = {}
    for layer, reason in missing.items():
        layers_of.setdefault(reason, []).append(layer)
    lacks = "; ".join(f"{', '.join(names)} ({why})" for why, names in layers_of.items())
    remedy = (
        "allow it on this machine, or accept less with mode minimum"
        if enough
        else f"at least {', '.join(_ALWAYS)} and one of landlock and mount must be in force: allow "
        "namespaces or Landlock on this machine"
    )
    raise InputError(f"the sandbox has {', '.join(in_force)} and lacks {lacks}: {remedy}")
