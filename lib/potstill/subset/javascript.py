"""JavaScript through acorn in one long-lived Node process: exact ESTree, no start-up a check."""

import atexit
import json
import os
import selectors
import shutil
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from potstill.errors import InputError
from potstill.subset.policy import Language, Policy

Reply = list[Any] | dict[str, str]  # one a program, or {"error": why not}
_WORKER = Path(__file__).with_name("worker.mjs")


class Worker:
    """One Node process that answers one request at a time; started when first asked."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def ask(self, request: dict[str, Any], max_seconds: float) -> Reply | None:
        """Return the replies, or None when the worker crashed or took too long; it restarts."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._process = _start()
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


_worker = Worker()
atexit.register(_worker.close)


def visit_many(codes: Sequence[str], spec: Language, limits: Policy) -> list[dict[str, Any]]:
    """Return {"reasons": [[kind, detail, line, column]], "nodes": visited} of each program.

    One request brings them all; if that ends the worker or takes too long, each is asked alone.

    Raises:
        InputError: Node or acorn is not installed, or the policy names a rule that is none.
    """
    rules = {
        "nodes": sorted(spec.nodes),
        "identifiers": sorted(spec.blocked_identifiers),
        "names": sorted(spec.blocked_names),
        "members": sorted(spec.blocked_members),
        "skipped": sorted(spec.skipped_keys),
        "rules": sorted(spec.rules),
        "max_nodes": limits.max_nodes,
        "max_depth": limits.max_depth,
    }
    replies = _worker.ask({"codes": list(codes), "policy": rules}, limits.max_seconds)
    if isinstance(replies, dict):
        raise InputError(f"subset policy {limits.name}: {replies['error']}")
    if replies is not None:
        return replies
    if len(codes) > 1:
        return [visit_many([code], spec, limits)[0] for code in codes]
    reason = ["limit", f"no verdict within {limits.max_seconds:g} s", 0, 0]
    return [{"reasons": [reason], "nodes": 0}]


def shapes(codes: Sequence[str], max_seconds: float = 20.0) -> list[list[str]]:
    """Return each program's nodes without the names that it binds; none if it cannot be parsed.

    Raises:
        InputError: Node or acorn is not installed.
    """
    replies = _worker.ask({"codes": list(codes)}, max_seconds) if codes else []
    if isinstance(replies, list):
        return replies
    return [shapes([code])[0] for code in codes] if len(codes) > 1 else [[]]


def _start() -> subprocess.Popen[bytes]:
    node = shutil.which("node")
    if node is None:
        raise InputError("node is missing: install the Debian package nodejs")
    process = subprocess.Popen(
        [node, str(_WORKER), str(_root())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
    )
    assert process.stdin is not None
    os.set_blocking(process.stdin.fileno(), False)
    return process


def _root() -> Path:
    """Return the nearest folder above the package, or above here, that has acorn installed."""
    for start in (Path(__file__).resolve().parent, Path.cwd()):
        for folder in (start, *start.parents):
            if (folder / "node_modules" / "acorn").is_dir():
                return folder
    raise InputError(
        "the JavaScript parser acorn is not installed: run `npm ci` in the checkout, or "
        "`npm install acorn` here"
    )
