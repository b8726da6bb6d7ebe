"""The parent's verdicts: what a case's processes are told, and what their replies are worth."""

import math
import secrets
from typing import Any, Protocol

from potstill.sandbox.inside import wire
from potstill.sandbox.client import JudgeGone, Server

TOLERANCE = 1e-6  # of floats, absolute and relative


class Grader(Protocol):
    """Knows what is right, and talks to a program through lines."""

    passed: int
    total: int
    error: str  # what a test's source says, else empty

    def job(self) -> bytes:
        """Return the line that gives the program's process its code."""

    def ask(self) -> bytes | None:
        """Return the first call for the program, or None: nothing is asked."""

    def take(self, line: bytes) -> bytes | None:
        """Take a reply; return the next call, or None: enough.

        Raises:
            ValueError: it is no reply that this run can have made.
        """

    def end(self) -> None:
        """Come to a verdict; the program has ended."""


class ScriptGrader:
    """No tests: the program runs as a script."""

    passed = total = 0
    error = ""

    def __init__(self, language: str, code: str) -> None:
        self._job = {"language": language, "code": code, "calls": False}

    def job(self) -> bytes:  # noqa: D102
        return wire.line(self._job)

    def ask(self) -> None:  # noqa: D102
        return None

    def take(self, line: bytes) -> None:  # noqa: D102
        raise ValueError(f"a script has nothing to reply, got {len(line)} bytes")

    def end(self) -> None:  # noqa: D102
        return None


class _Calls:
    """Numbers a program's calls and checks that a reply is to the one that was asked."""

    def __init__(self, language: str, code: str) -> None:
        self._nonce = secrets.token_hex(8)
        self._seq = -1
        self._job = {"language": language, "code": code, "calls": True, "nonce": self._nonce}

    def job(self) -> bytes:
        return wire.line(self._job)

    def _call(self, call: dict[str, Any]) -> bytes:
        """Return the line of the next call; its arguments are encoded."""
        self._seq += 1
        return wire.line({"seq": self._seq, **call})

    def _read(self, line: bytes) -> dict[str, Any]:
        reply = wire.parse(line)
        if reply.get("nonce") != self._nonce or reply.get("seq") != self._seq:
            raise ValueError("not a reply to this call")
        if "error" in reply:
            kind, text = reply["error"]
            return {"error": [str(kind), str(text)]}
        if "value" not in reply:
            raise ValueError("a reply without a value")
        return {"value": reply["value"]}


class CallsGrader(_Calls):
    """Calls the entry point with each test's arguments and compares what comes back."""

    error = ""

    def __init__(
        self, language: str, code: str, tests: list[dict[str, Any]], entry_point: str
    ) -> None:
        super().__init__(language, code)
        self._tests = tests
        self._name = entry_point
        self.passed, self.total = 0, len(tests)

    def ask(self) -> bytes | None:  # noqa: D102
        following = self._seq + 1
        if following == self.total:
            return None
        args = wire.encode(self._tests[following]["args"])
        return self._call({"name": self._name, "args": args, "kwargs": wire.encode({})})

    def take(self, line: bytes) -> bytes | None:  # noqa: D102
        reply = self._read(line)
        if "value" in reply:
            value = wire.decode(reply["value"])
            self.passed += equal(value, self._tests[self._seq]["expected"])
        return self.ask()

    def end(self) -> None:  # noqa: D102
        return None


class SourceGrader(_Calls):
    """Lets a judge run a test's source, and brings it what the program replies."""

    def __init__(
        self, language: str, code: str, tests: str, entry_point: str, server: Server
    ) -> None:
        super().__init__(language, code)
        self._server = server
        self._start = {"tests": tests, "entry_point": entry_point}
        self._is_open = True
        self.error = ""
        self.passed, self.total = 0, 1

    def ask(self) -> bytes | None:  # noqa: D102
        return self._forward(self._start)

    def take(self, line: bytes) -> bytes | None:  # noqa: D102
        return self._forward(self._read(line))

    def end(self) -> None:  # noqa: D102
        while self._is_open:
            self._forward({"gone": "the program has ended"})

    def _forward(self, message: dict[str, Any]) -> bytes | None:
        """Ask the judge; return the call that it wants to be made, or None after its verdict."""
        try:
            answer = self._server.judge().ask(message)
        except JudgeGone as problem:
            self._server.drop_judge()
            answer = {"passed": False, "error": f"the tests did not come to an end: {problem}"}
        if "call" in answer:
            return self._call(answer["call"])
        self._is_open = False
        self.passed = int(answer["passed"] is True)
        self.error = answer["error"] or ""
        return None


def equal(actual: object, expected: object) -> bool:
    """Compare a decoded reply with a JSON value.

    A tuple equals the list of its elements, keys are compared as JSON writes them (1 is "1"), a
    bool is no number, an int equals a float within TOLERANCE, NaN equals nothing.
    """
    if isinstance(actual, bool) or isinstance(expected, bool):
        return actual is expected
    if isinstance(actual, int | float) and isinstance(expected, int | float):
        return _equal_numbers(actual, expected)
    if isinstance(actual, list | tuple) and isinstance(expected, list | tuple):
        return len(actual) == len(expected) and all(map(equal, actual, expected))
    if isinstance(actual, dict) and isinstance(expected, dict):
        ours = {_text_key(key): item for key, item in actual.items()}
        theirs = {_text_key(key): item for key, item in expected.items()}
        return ours.keys() == theirs.keys() and all(equal(ours[key], theirs[key]) for key in ours)
    return type(actual) is type(expected) and actual == expected


def _equal_numbers(actual: float, expected: float) -> bool:
    if isinstance(actual, int) and isinstance(expected, int):
        return actual == expected
    try:
        return math.isclose(actual, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    except OverflowError:  # an int beyond the floats
        return False


def _text_key(key: object) -> object:
    if key is None:
        return "null"
    if isinstance(key, bool):
        return "true" if key else "false"
    return repr(key) if isinstance(key, int | float) else key
