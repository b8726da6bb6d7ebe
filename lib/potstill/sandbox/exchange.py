"""One case from start to verdict: its processes, its output, its replies."""

import contextlib
import os
import select
import signal
import socket
import time
from collections import deque
from dataclasses import asdict

from potstill.errors import InputError
from potstill.sandbox.cases import Case, RunResult
from potstill.sandbox.client import Report, Server
from potstill.sandbox.grading import CallsGrader, Grader, ScriptGrader, SourceGrader

TIMEOUT_CODE = 124  # as timeout(1) has it
TIMEOUTS = ("cpu", "wall")
_CHUNK = 1 << 16
_AHEAD_BYTES = 1 << 15
_REPLY_BYTES = 1 << 22  # of one line
_OUT_OF_MEMORY = ("MemoryError", "InternalError: out of memory")


def execute(server: Server, case: Case) -> RunResult:
    """Run one case in a server.

    Raises:
        InputError: the sandbox could not be set up for it.
        ServerGone: the server ended; the case may be tried in another.
    """
    exchange = _Exchange(server, case)
    try:
        return exchange.run()
    finally:
        exchange.close()


def _grader(case: Case, server: Server) -> Grader:
    name = case.entry_point or ""
    if isinstance(case.tests, str):
        return SourceGrader(case, case.tests, server)
    if case.tests is not None:
        return CallsGrader(case.language, case.code, case.tests, name)
    return ScriptGrader(case.language, case.code)


class _Output:
    """What came out of a pipe, up to a limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()
        self.is_over = False

    def add(self, data: bytes) -> None:
        room = self._limit - len(self._data)
        self._data += data[:room]
        self.is_over = self.is_over or len(data) > room

    def text(self) -> str:
        return self._data.decode(errors="replace")


class _Exchange:
    """A program's process and the descriptors between it and here."""

    def __init__(self, server: Server, case: Case) -> None:
        self._server = server
        self._case = case
        self._limits = asdict(case.limits)
        self._grader = _grader(case, server)
        self._poll = select.poll()
        self._stdout = _Output(case.limits.output_bytes)
        self._stderr = _Output(case.limits.output_bytes)
        self._outputs: dict[int, _Output] = {}  # by our ends of the pipes still open
        self._channel, self._theirs = socket.socketpair()
        self._rest = b""  # of a reply that has begun
        self._in_flight: deque[int] = deque()  # lengths of the calls without a reply
        self._is_listening = False  # to the channel
        self._refused: str | None = None  # why its replies are of no use
        self._is_cut_short = False  # the program ended with calls to answer
        self._program = 0
        self._report: Report | None = None

    def run(self) -> RunResult:
        started = time.monotonic()
        self._poll.register(self._server, select.POLLIN)
        self._start_program()
        self._send(self._grader.job())
        self._poll.register(self._channel, select.POLLIN)
        self._is_listening = True
        self._send_calls()
        while self._report is None:
            for descriptor, _ in self._poll.poll():
                self._handle(descriptor)
        for descriptor in list(self._outputs):  # all who could write are dead: each has an end
            while self._read_output(descriptor):
                pass
        while self._is_listening:
            self._read_reply()
        self._is_cut_short = not self._grader.is_done
        self._grader.end()
        return self._result(self._report, (time.monotonic() - started) * 1000)

    def close(self) -> None:
        self._channel.close()
        for descriptor in self._outputs:
            os.close(descriptor)

    def _start_program(self) -> None:
        stdin = os.memfd_create("stdin")
        os.write(stdin, (self._case.stdin or "").encode(errors="surrogatepass"))
        os.lseek(stdin, 0, os.SEEK_SET)
        given = [stdin]
        for output in (self._stdout, self._stderr):
            reader, writer = os.pipe()
            self._outputs[reader] = output
            self._poll.register(reader, select.POLLIN)
            given.append(writer)
        with self._theirs:
            given.append(self._theirs.fileno())
            try:
                self._program = self._server.spawn("program", self._limits, given)
            finally:
                for descriptor in given[:-1]:
                    os.close(descriptor)

    def _send_calls(self) -> None:
        """Send calls ahead of their replies, as far as they surely fit into the socket."""
        while sum(self._in_flight) < _AHEAD_BYTES and (line := self._grader.call()) is not None:
            self._in_flight.append(len(line))
            self._send(line)
        if self._grader.is_done and self._is_listening:
            self._stop_listening()
            with contextlib.suppress(OSError):
                self._channel.shutdown(socket.SHUT_WR)  # a program ends when no call can come

    def _send(self, line: bytes) -> None:
        with contextlib.suppress(OSError):  # a process that has ended reports itself
            self._channel.sendall(line)

    def _handle(self, descriptor: int) -> None:
        if descriptor in self._outputs:
            if self._read_output(descriptor) and self._outputs[descriptor].is_over:
                self._server.kill(self._program, "output")
        elif descriptor == self._server.fileno():
            report = self._server.report()
            if report.id == self._program:  # else a judge has ended; its asker notices
                self._report = report
        elif self._is_listening:
            self._read_reply()

    def _read_output(self, descriptor: int) -> bool:
        data = os.read(descriptor, _CHUNK)
        self._outputs[descriptor].add(data)
        if not data:
            self._poll.unregister(descriptor)
            del self._outputs[descriptor]
            os.close(descriptor)
        return bool(data)

    def _read_reply(self) -> None:
        try:
            data = self._channel.recv(_CHUNK)
        except ConnectionResetError:
            data = b""
        if not data:
            self._stop_listening()
            return
        self._rest += data
        if len(self._rest) > _REPLY_BYTES:
            self._refuse("output")
            return
        while b"\n" in self._rest:
            line, _, self._rest = self._rest.partition(b"\n")
            try:
                self._grader.take(line)
            except ValueError:
                self._refuse("reply")
                return
            self._in_flight.popleft()
        self._send_calls()

    def _refuse(self, why: str) -> None:
        """End a program whose replies are of no use; what it passed so far stays counted."""
        self._stop_listening()
        self._refused = why
        if self._report is None:
            self._server.kill(self._program, why)

    def _stop_listening(self) -> None:
        self._poll.unregister(self._channel)
        self._is_listening = False
        self._rest = b""

    def _result(self, report: Report, duration_ms: float) -> RunResult:
        if report.error:
            raise InputError(f"the sandbox could not be set up: {report.error}")
        grader = self._grader
        stderr = self._stderr.text()
        killed_by = report.killed_by or self._refused or _own_end(report.status, stderr)
        code = report.status if report.status >= 0 else 128 - report.status
        if grader.total:
            code = int(grader.passed < grader.total or killed_by is not None)
        if killed_by in TIMEOUTS:
            code = TIMEOUT_CODE
        return RunResult(
            ok=code == 0 and killed_by is None,
            stdout=self._stdout.text(),
            stderr=stderr + self._remark(killed_by),
            exit_code=code,
            duration_ms=duration_ms,
            cpu_ms=report.cpu_s * 1000,
            peak_rss_mb=report.rss_mb,
            killed_by=killed_by,
            queue_for_cloud=killed_by in TIMEOUTS,
            queue_reason="timeout" if killed_by in TIMEOUTS else None,
            tests_passed=grader.passed,
            tests_total=grader.total,
            failure=grader.failure,
            layers=self._server.layers,
        )

    def _remark(self, killed_by: str | None) -> str:
        """Return what the sandbox has to say, to stand below the program's own stderr."""
        lines = [self._grader.error] if self._grader.error else []
        if killed_by in TIMEOUTS:
            lines.append(f"Execution timed out: {self._limits[f'{killed_by}_s']} s of {killed_by}")
        elif killed_by is not None:
            lines.append(f"Execution ended by the sandbox: {killed_by}")
        elif self._is_cut_short:
            lines.append("Execution ended before the tests did")
        return "".join(f"{line}\n" for line in lines)


def _own_end(status: int, stderr: str) -> str | None:
    """Return what ended a program that the sandbox did not kill, if anything did."""
    if status < 0:
        return signal.Signals(-status).name
    last_line = stderr.rstrip().rpartition("\n")[2]
    return "memory" if status > 0 and last_line.startswith(_OUT_OF_MEMORY) else None
