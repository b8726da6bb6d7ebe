"""JavaScript through acorn in one long-lived Node process: exact ESTree, no start-up a check."""

import atexit
import json
import os
import select
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from potstill.errors import InputError
from potstill.subset.policy import Language

_WORKER = Path(__file__).with_name("worker.mjs")


class Worker:
    """One Node process that answers one request at a time; started when first asked."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def ask(self, request: dict[str, Any], max_seconds: float) -> dict[str, Any] | None:
        """Return the reply, or None when the worker crashed or took too long; it restarts."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._process = _start()
            try:
                return self._exchange(self._process, request, max_seconds)
            except (OSError, ValueError):
                self.close()
                return None

    def _exchange(
        self, process: subprocess.Popen[bytes], request: dict[str, Any], max_seconds: float
    ) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(request).encode("ascii") + b"\n")
        process.stdin.flush()
        deadline, reply = time.monotonic() + max_seconds, b""
        while not reply.endswith(b"\n"):
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
                raise TimeoutError
            part = os.read(process.stdout.fileno(), 1 << 16)
            if not part:
                raise BrokenPipeError
            reply += part
        found: dict[str, Any] = json.loads(reply)
        return found

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


_worker = Worker()
atexit.register(_worker.close)


def visit(code: str, spec: Language, max_seconds: float) -> dict[str, Any]:
    """Return {"reasons": [[kind, detail, line, column]], "nodes": visited} of a program.

    Raises:
        InputError: Node or acorn is not installed.
    """
    reply = _worker.ask(
        {
            "code": code,
            "nodes": sorted(spec.nodes),
            "blocked": sorted(spec.blocked),
            "skipped": sorted(spec.skipped_keys),
        },
        max_seconds,
    )
    if reply is None:
        return {"reasons": [["limit", f"no verdict within {max_seconds:g} s", 0, 0]], "nodes": 0}
    return reply


def _start() -> subprocess.Popen[bytes]:
    node = shutil.which("node")
    if node is None:
        raise InputError("node is missing: install the Debian package nodejs")
    return subprocess.Popen(
        [node, "--stack-size=2000", str(_WORKER), str(_root())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _root() -> Path:
    """Return the nearest folder above the package, or above here, that has acorn installed."""
    for start in (Path(__file__).resolve().parent, Path.cwd()):
        for folder in (start, *start.parents):
            if (folder / "node_modules" / "acorn").is_dir():
                return folder
    raise InputError("the JavaScript parser acorn is not installed: run `npm ci`")
