"""Long-lived Node processes that read a line of JSON and write one: no start-up a request."""

import json
import os
import selectors
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from potstill.errors import InputError

Reply = list[Any] | dict[str, str]  # one a program, or {"error": why not}


class Worker:
    """One Node process that answers one request at a time; started when first asked.

    Args:
        script: what it runs; it is given the folder that has acorn installed.
    """

    def __init__(self, script: Path) -> None:
        self._script = script
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def ask(self, request: dict[str, Any], max_seconds: float) -> Reply | None:
        """Return the replies, or None when the worker crashed or took too long; it restarts."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._process = _start(self._script)
            try:
                return _exchange(self._process, request, max_seconds)
            except (OSError, ValueError):
                self.close()
                return None

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _exchange(
    process: subprocess.Popen[bytes], request: dict[str, Any], max_seconds: float
) -> Reply:
    """Write one line and read one line, with one deadline for both."""
    assert process.stdin is not None
    assert process.stdout is not None
    left = memoryview(json.dumps(request).encode("ascii") + b"\n")
    deadline, reply = time.monotonic() + max_seconds, bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.register(process.stdin, selectors.EVENT_WRITE)
        while not reply.endswith(b"\n"):
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                if key.fileobj is process.stdout:
                    part = os.read(process.stdout.fileno(), 1 << 20)
                    if not part:
                        raise BrokenPipeError
                    reply += part
                else:
                    left = left[os.write(process.stdin.fileno(), left[: 1 << 16]) :]
                    if not left:
                        selector.unregister(process.stdin)
    found: Reply = json.loads(reply)
    return found


def _start(script: Path) -> subprocess.Popen[bytes]:
    node = shutil.which("node")
    if node is None:
        raise InputError("node is missing: install the Debian package nodejs")
    process = subprocess.Popen(
        [node, str(script), str(_root())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
    )
    assert process.stdin is not None
    os.set_blocking(process.stdin.fileno(), False)
    return process


def installed(name: str) -> Path | None:
    """Return the folder of an npm package: the nearest above this file, or above here."""
    for start in (Path(__file__).resolve().parent, Path.cwd()):
        for folder in (start, *start.parents):
            if (folder / "node_modules" / name).is_dir():
                return folder / "node_modules" / name
    return None


def _root() -> Path:
    found = installed("acorn")
    if found is not None:
        return found.parent.parent
    raise InputError(
        "the JavaScript parser acorn is not installed: run `npm ci` in the checkout, or "
        "`npm install acorn` here"
    )
