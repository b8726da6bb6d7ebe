"""The parent's side of the fork server: start it, ask it for cases, hear how they ended."""

import atexit
import json
import os
import secrets
import socket
import struct
import subprocess
import sys
import sysconfig
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from potstill.errors import InputError
from potstill.sandbox.cases import Limits
from potstill.sandbox.inside import folders, wire
from potstill.sandbox.inside.channel import Channel, Closed

_MESSAGE_BYTES = 1 << 16
_START = """
import sys
descriptor, name, visible = int(sys.argv[1]), sys.argv[5], sys.argv[6:]
clean = sys.path[:]
sys.path[:0] = sys.argv[2:4]
import importlib
server = importlib.import_module(sys.argv[4])
sys.path[:] = clean
sys.path_importer_cache.clear()
sys.argv[:] = [""]
server.main(descriptor, name, visible)
"""
_SERVER = "potstill.sandbox.inside.server"  # without the packages around it
_SHARED_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
# Nothing of the caller's environment reaches a program. A case states its hash seed: the order of a
# set, and so a verdict, must not change from run to run. One arena: each reserves address space.
_ENVIRONMENT = {"MALLOC_ARENA_MAX": "1", "LANG": "C.UTF-8"}
_ENVIRONMENT |= {"HOME": "/tmp", "TMPDIR": "/tmp"}


def _visible_paths() -> list[str]:
    """Return what a program may read: the standard library and what its modules link to."""
    base = {"platbase": sys.base_exec_prefix}  # not a virtual environment's
    library = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib", vars=base)]
    shared = sysconfig.get_config_var("LIBDIR")
    wanted = [*_SHARED_LIBRARIES, *library, *([shared] if shared else [])]
    return [path for path in dict.fromkeys(wanted) if Path(path).exists()]


class ServerGone(Exception):  # noqa: N818 - an event, not always an error
    """The fork server has ended in the middle of something."""


@dataclass(frozen=True)
class Report:
    """How one process of a case ended."""

    id: int
    status: int  # exit code, or minus the signal
    cpu_s: float
    rss_mb: float
    killed_by: str | None
    error: str  # why it could not be set up, else empty


class Server:
    """One fork server; used by one thread at a time. It ends when this process does."""

    def __init__(self, hash_seed: int) -> None:
        import _quickjs  # type: ignore[import-not-found]  # a compiled module without stubs

        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        modules = [str(Path(__file__).parent), str(Path(_quickjs.__file__).parent)]
        modules.append(_SERVER.removeprefix(f"{__package__}."))
        command = [
            sys.executable,
            "-P",
            "-s",
            "-S",
            "-X",
            "utf8",
            "-c",
            _START,
        ]
        self._folder = f"{folders.PREFIX}{os.getpid()}-{secrets.token_hex(8)}"
        with theirs:
            self._process = subprocess.Popen(
                [*command, str(theirs.fileno()), *modules, self._folder, *_visible_paths()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**_ENVIRONMENT, "PYTHONHASHSEED": str(hash_seed)},
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a Ctrl-C is the parent's to handle
            )
        self.hash_seed = hash_seed
        self._control = ours
        self._next_id = 0
        self._judge: Judge | None = None
        hello = self._receive()
        self.layers: tuple[str, ...] = tuple(hello["layers"])
        self.missing: dict[str, str] = hello["missing"]

    @property
    def pid(self) -> int:
        """Process id of the server's starter, whose end is the server's."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Say whether the server's starter still runs."""
        return self._process.poll() is None

    def fileno(self) -> int:
        """Return the descriptor to poll for reports."""
        return self._control.fileno()

    def spawn(self, role: str, limits: dict[str, Any], descriptors: list[int]) -> int:
        """Start a process with stdin, stdout, stderr and a channel.

        Returns:
            The id under which the server reports its end.
        """
        self._next_id += 1
        request = json.dumps({"id": self._next_id, "role": role, "limits": limits}).encode()
        try:
            socket.send_fds(self._control, [request], descriptors)
        except OSError as error:
            raise ServerGone(str(error)) from None
        return self._next_id

    def kill(self, case: int, why: str) -> None:
        """Kill a process that `spawn` started; its report says why."""
        try:
            self._control.send(json.dumps({"kill": case, "why": why}).encode())
        except OSError as error:
            raise ServerGone(str(error)) from None

    def report(self) -> Report:
        """Wait for the end of a process."""
        return Report(**self._receive())

    def judge(self) -> "Judge":
        """Return the process that runs tests' sources; started when first asked for."""
        if self._judge is None:
            self._judge = Judge(self)
        return self._judge

    def drop_judge(self) -> None:
        """End a judge that is stuck or gone; the next case gets another."""
        if self._judge is not None:
            self.kill(self._judge.id, "stuck")
            self._judge.close()
            self._judge = None

    def _receive(self) -> dict[str, Any]:
        try:
            text = self._control.recv(_MESSAGE_BYTES)
        except OSError as error:
            raise ServerGone(str(error)) from None
        if not text:
            raise ServerGone("the fork server has ended")
        return json.loads(text)

    def close(self) -> None:
        """End the server and every case in it."""
        self._close_sockets()
        self._process.wait()
        folders.remove_server(self._folder)  # if all its processes were killed at once

    def forget(self) -> None:
        """Close this process's copies of what a fork inherited."""
        self._close_sockets()
        self._process.returncode = 0  # not ours to wait for

    def _close_sockets(self) -> None:
        if self._judge is not None:
            self._judge.close()
        self._control.close()


class JudgeGone(Exception):  # noqa: N818 - as above
    """The judge has ended, or a test's source does not come to an end."""


class Judge:
    """A process of a server's that runs tests' sources, one after the other."""

    _WAIT_S = 10  # for the next call that a test makes
    _LIMITS = asdict(Limits(cpu_s=10**6, wall_s=10**6))  # it outlives its cases

    def __init__(self, server: Server) -> None:
        self._socket, theirs = socket.socketpair()
        wait = struct.pack("ll", self._WAIT_S, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)
        self._channel = Channel(self._socket.fileno())
        nowhere = os.open(os.devnull, os.O_RDWR)
        with theirs:
            given = [nowhere, nowhere, nowhere, theirs.fileno()]
            self.id = server.spawn("judge", self._LIMITS, given)
        os.close(nowhere)

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send a message and wait for the next.

        Raises:
            JudgeGone: none comes.
        """
        try:
            self._channel.send(wire.line(message))
            return self._channel.receive()
        except Closed as error:
            raise JudgeGone(f"{error}, after at most {self._WAIT_S} s") from None

    def close(self) -> None:
        """Let the judge end; one that computes must be killed."""
        self._socket.close()


class Pool:
    """Warm servers, one for each case that runs at the same time."""

    def __init__(self) -> None:
        self._idle: list[Server] = []
        self._lock = threading.Lock()
        atexit.register(self.close)
        os.register_at_fork(after_in_child=self._forget)

    def take(self, hash_seed: int = 0) -> Server:
        """Return a warm server of a hash seed, or start one.

        Raises:
            InputError: no server starts here.
        """
        if sys.platform != "linux":
            raise InputError(f"the sandbox is made of Linux's layers; this is {sys.platform}")
        with self._lock:
            for server in [each for each in self._idle if each.hash_seed == hash_seed]:
                self._idle.remove(server)
                if server.is_alive():
                    return server
                server.close()
        try:
            return Server(hash_seed)
        except ServerGone:
            raise InputError(
                "the sandbox's server did not start; its message is on stderr"
            ) from None

    def give(self, server: Server) -> None:
        """Keep a server for the next case."""
        with self._lock:
            self._idle.append(server)

    def close(self) -> None:
        """End all idle servers."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        while self._idle:
            self._idle.pop().forget()
