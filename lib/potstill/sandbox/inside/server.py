"""The fork server: a small warm Python that turns into a case on request.

Started by `client.Server` with one socket. It never reads a program, a test or an expected value:
those pass it by through descriptors, so that no case can find them in the memory it was forked
from. It holds the limits and reports how each case ended.

Requests: {"id", "role": "program" | "judge", "limits"} with descriptors, or {"kill": id, "why"}.
Reports: {"layers", "missing"} once, then {"id", "status", "cpu_s", "rss_mb", "killed_by", "error"}.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import time
from typing import Any

from . import child, folders, landlock, limits, namespaces, seccomp, syscalls

LAYERS = (*namespaces.LAYERS, "no_new_privs", "landlock", "seccomp", "rlimits")
# Imported here so that no case has to: what programs use most.
_WARM = (
    *("bisect", "collections", "copy", "datetime", "functools", "heapq", "itertools", "json"),
    *("math", "operator", "random", "re", "string", "typing"),
)
_MESSAGE_BYTES = 1 << 16
_DESCRIPTORS = 4  # stdin, stdout, stderr and a channel
_SHORTEST_WAIT_S = 0.005


class _Case:
    """A running process of a case."""

    def __init__(
        self, request: dict[str, Any], process: int, report: int, folder: str | None
    ) -> None:
        self.number: int = request["id"]
        self.limits: dict[str, Any] = request["limits"]
        self.folder = folder
        # a test's source is trusted, and the judge stays when nothing else is to be done
        self._is_looked_at = folder is not None and request["role"] == "program"
        self.process = process
        self.report = report
        self.watch = os.pidfd_open(process)
        self.killed_by: str | None = None
        self._started = time.monotonic()
        self._next_look = self._started + folders.LOOK_S

    def kill(self, why: str) -> None:
        """Kill the first process of the case's namespace, and with it all others."""
        if self.killed_by is None:
            self.killed_by = why
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process, signal.SIGKILL)

    def seconds_left(self) -> float:
        """Return how long the case may surely go on; kills it where it may not."""
        processor = self.limits["cpu_s"] - limits.processor_seconds(self.process)
        wall = self.limits["wall_s"] - (time.monotonic() - self._started)
        if processor <= 0:
            self.kill("cpu")
        elif wall <= 0:
            self.kill("wall")
        elif self.folder is not None and self._is_looked_at:
            wall = min(wall, self._look(self.folder))
        return max(min(processor, wall), _SHORTEST_WAIT_S)

    def _look(self, folder: str) -> float:
        """Kill the case if it has written too much; return when to look again."""
        if time.monotonic() >= self._next_look:
            if not self.is_within(folder):
                self.kill("files")
            self._next_look = time.monotonic() + folders.LOOK_S
        return self._next_look - time.monotonic()

    def is_within(self, folder: str) -> bool:
        """Say whether it has written no more than it may."""
        max_bytes = self.limits["file_mb"] << 20
        return not self._is_looked_at or folders.is_within(folder, self.process, max_bytes)


class _Server:
    def __init__(
        self,
        control: socket.socket,
        confinement: child.Confinement,
        home: int | None,
        folder: str | None,
    ) -> None:
        self._control = control
        self._confinement = confinement
        self._folder = folder  # of the cases' private ones
        # The kernel counts all processes of a user, so a case's limit is beside the others'.
        self._user = os.getuid() if "user" not in confinement.layers else None
        self._home = home
        self._cases: dict[int, _Case] = {}  # by the descriptor to watch

    def serve(self) -> None:
        """Serve until the client has gone; cases die with this process."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        while True:
            waits = [case.seconds_left() for case in self._cases.values()]
            for descriptor, _ in poll.poll(min(waits) * 1000 if waits else None):
                if descriptor in self._cases:
                    poll.unregister(descriptor)
                    self._reap(self._cases.pop(descriptor))
                elif not self._take_request(poll):
                    return

    def _take_request(self, poll: "select.poll") -> bool:
        text, descriptors, _, _ = socket.recv_fds(self._control, _MESSAGE_BYTES, _DESCRIPTORS)
        if not text:
            return False
        request = json.loads(text)
        if "kill" in request:
            for case in self._cases.values():
                if case.number == request["kill"]:
                    case.kill(request["why"])
            return True
        case = self._start(request, descriptors)
        self._cases[case.watch] = case
        poll.register(case.watch, select.POLLIN)
        return True

    def _start(self, request: dict[str, Any], descriptors: list[int]) -> _Case:
        report, report_end = os.pipe()
        others = limits.processes_of(self._user) if self._user is not None else 0
        folder = f"{self._folder}/{os.urandom(16).hex()}" if self._folder else None
        process = namespaces.fork_first_process(self._home)
        if process == 0:
            child.become(request, descriptors, report_end, self._confinement, others, folder)
        for descriptor in (*descriptors, report_end):
            os.close(descriptor)
        return _Case(request, process, report, folder)

    def _reap(self, case: _Case) -> None:
        _, status, usage = os.wait4(case.process, 0)
        error = os.read(case.report, 4096).decode(errors="replace")
        os.close(case.report)
        os.close(case.watch)
        seconds = usage.ru_utime + usage.ru_stime
        is_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if is_killed and case.killed_by is None:  # by the kernel
            case.killed_by = "cpu" if seconds >= case.limits["cpu_s"] else "memory"
        if case.folder is not None:
            if case.killed_by is None and not case.is_within(case.folder):
                case.killed_by = "files"  # it was faster than the looks
            folders.remove(case.folder)
        report = {
            "id": case.number,
            "status": os.waitstatus_to_exitcode(status),
            "cpu_s": seconds,
            "rss_mb": usage.ru_maxrss / 1024,
            "killed_by": case.killed_by,
            "error": error,
        }
        self._control.send(json.dumps(report).encode())

    def end(self) -> None:
        """End all cases and leave nothing of theirs."""
        for case in self._cases.values():
            case.kill("end")
            os.waitpid(case.process, 0)
        if self._folder is not None:
            folders.remove(self._folder)


def _probe(layers: set[str], missing: dict[str, str], visible: list[str]) -> None:
    """Drop from `layers` what this kernel lacks, and say why."""
    for name, check in (("landlock", landlock.abi), ("seccomp", seccomp.instructions)):
        try:
            check()
        except OSError as error:
            missing[name] = str(error)
    reason = namespaces.try_to_enter(visible)
    if reason is not None:
        missing |= dict.fromkeys(namespaces.LAYERS, reason)
    layers.difference_update(missing)


def _outlive(server: int, name: str, layers: set[str]) -> int:
    """Wait for the server's end and see that nothing of it stays; return its exit code."""
    status = os.waitpid(server, 0)[1]
    if "pid" not in layers:
        with contextlib.suppress(ChildProcessError):
            while True:  # cases that are dying as well
                os.wait()
        folders.remove_server(name)
    return os.waitstatus_to_exitcode(status) & 0xFF


def main(descriptor: int, name: str, visible: list[str]) -> None:
    """Set up the server and serve; the calling process waits for it and ends with it.

    Cases can read what lies below the paths in `visible` alone. `name` is that of a folder which
    the server makes if they have no /tmp of their own.
    """
    control = socket.socket(fileno=descriptor)
    layers, missing = set(LAYERS), dict[str, str]()
    for module in _WARM:
        importlib.import_module(module)
    _probe(layers, missing, visible)
    proc = os.open("/proc", os.O_PATH)
    if "pid" in layers:
        namespaces.enter(visible)
    else:
        os.umask(0o022)  # as in the root that namespaces make
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    starter = os.getpid()
    server = os.fork()
    if server:
        control.close()
        os.close(proc)
        os._exit(_outlive(server, name, layers))
    # Root's limits on processes do not count.
    plain_root = "user" not in layers and os.getuid() == 0
    kept = namespaces.become_plain_nobody(visible) if plain_root else 0
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)  # after the change of user
    if "pid" not in layers and os.getppid() != starter:
        os._exit(1)
    folder = folders.make(name) if "landlock" in layers and "tmpfs" not in layers else None
    home = os.open("self/ns/pid", os.O_RDONLY, dir_fd=proc) if "pid" in layers else None
    os.close(proc)
    control.send(
        json.dumps({"layers": sorted(layers, key=LAYERS.index), "missing": missing}).encode()
    )
    gc.collect()
    gc.freeze()  # a child's collector must not touch, and so copy, the server's pages
    confinement = child.Confinement(
        layers,
        denied=seccomp.build(layers) if "seccomp" in layers else None,
        visible=["/"] if "mount" in layers else visible,  # a root of its own is there to be read
        server=0 if "pid" in layers else os.getpid(),
        kept=kept,
    )
    server_of_cases = _Server(control, confinement, home, folder)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client has gone
        server_of_cases.serve()
    server_of_cases.end()
    os._exit(0)
