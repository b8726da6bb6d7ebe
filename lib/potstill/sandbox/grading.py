"""The parent's verdicts: what a case's processes are told, and what their replies are worth."""

import json
import math
import secrets
from typing import Any, Protocol

from potstill.sandbox.cases import Case
from potstill.sandbox.client import JudgeGone, Server
from potstill.sandbox.inside import wire

_MAX_WORDS = 200  # characters of a failure: longer ones tell nobody anything
TOLERANCE = 1e-6  # of floats, absolute and relative


class Grader(Protocol):
    """Knows what is right, and talks to a program through lines."""

    passed: int
    total: int
    error: str  # what a test's source says, else empty
    failure: str  # see RunResult.failure

    @property
    def is_done(self) -> bool:
        """Whether no call is left and no reply is awaited."""

    def job(self) -> bytes:
        """Return the line that gives the program's process its code."""

    def call(self) -> bytes | None:
        """Return the next call that can be made now, or None."""

    def take(self, line: bytes) -> None:
        """Take the reply to the oldest call that has none yet.

        Raises:
            ValueError: it is no reply that this run can have made.
        """

    def end(self) -> None:
        """Come to a verdict: the program has ended."""


class ScriptGrader:
    """No tests: the program runs as a script."""

    passed = total = 0
    error = failure = ""
    is_done = True

    def __init__(self, language: str, code: str) -> None:
        self._job = {"language": language, "code": code, "calls": False}

    def job(self) -> bytes:  # noqa: D102
        return wire.line(self._job)

    def call(self) -> None:  # noqa: D102
        return None

    def take(self, line: bytes) -> None:  # noqa: D102
        raise ValueError(f"a script has nothing to reply, got {len(line)} bytes")

    def end(self) -> None:  # noqa: D102
        return None


class _Calls:
    """Numbers a program's calls and checks that each reply is to the call whose turn it is."""

    def __init__(self, language: str, code: str) -> None:
        self._nonce = secrets.token_hex(8)
        self._job = {"language": language, "code": code, "calls": True, "nonce": self._nonce}
        self._num_sent = self._num_taken = 0

    def job(self) -> bytes:
        return wire.line(self._job)

    def _line(self, calls: list[dict[str, Any]]) -> bytes:
        seq = self._num_sent
        self._num_sent += 1
        return wire.line({"seq": seq, "calls": calls})

    def _read(self, line: bytes, num_calls: int) -> list[dict[str, Any]]:
        """Return the replies {"value"} or {"error": [type, message]} to the calls of one line."""
        message = wire.parse(line)
        seq = self._num_taken
        if message.get("nonce") != self._nonce or message.get("seq") != seq:
            raise ValueError("not a message of this run, or not the next one")
        replies = message.get("replies")
        if seq >= self._num_sent or not isinstance(replies, list) or len(replies) != num_calls:
            raise ValueError("not the replies to this line")
        self._num_taken += 1
        return [_checked(reply) for reply in replies]


def _checked(reply: object) -> dict[str, Any]:
    match reply:
        case {"error": [str(kind), str(text)]}:
            return {"error": [kind, text]}
        case {"value": value}:
            return {"value": value}
    raise ValueError("neither a value nor an error")


class CallsGrader(_Calls):
    """Calls the entry point with each test's arguments and compares what comes back."""

    error = ""

    def __init__(
        self, language: str, code: str, tests: list[dict[str, Any]], entry_point: str
    ) -> None:
        super().__init__(language, code)
        self._language = language
        self._tests = tests
        self._name = entry_point
        self.passed, self.total = 0, len(tests)
        self.failure = ""

    @property
    def is_done(self) -> bool:  # noqa: D102
        return self._num_taken == self.total

    def call(self) -> bytes | None:  # noqa: D102
        if self._num_sent == self.total:
            return None
        args = wire.encode(self._tests[self._num_sent]["args"])
        return self._line([{"name": self._name, "args": args, "kwargs": wire.encode({})}])

    def take(self, line: bytes) -> None:  # noqa: D102
        test = self._tests[min(self._num_taken, self.total - 1)]
        (reply,) = self._read(line, 1)
        if "value" not in reply:
            return
        actual = wire.decode(reply["value"])
        is_right = equal(actual, test["expected"])
        self.passed += is_right
        if not is_right and not self.failure:
            self.failure = self._words(test, actual)

    def _words(self, test: dict[str, Any], actual: object) -> str:
        """Return what a test would say, in the words of the program's language."""
        say = json.dumps if self._language == "javascript" else repr
        try:
            args = ", ".join(map(say, test["args"]))
            text = f"{self._name}({args}) returned {say(actual)}, expected {say(test['expected'])}"
        except (TypeError, ValueError, RecursionError):  # a value that JSON cannot say, or endless
            return ""
        return f"AssertionError: {text}" if len(text) <= _MAX_WORDS else ""

    def end(self) -> None:  # noqa: D102
        return None


class SourceGrader(_Calls):
    """Lets a judge run a test's source, and brings it what the program replies."""

    def __init__(self, case: Case, tests: str, server: Server) -> None:
        super().__init__(case.language, case.code)
        self._server = server
        self._message: dict[str, Any] = {
            "tests": tests,
            "entry_point": case.entry_point,
            "language": case.tests_language,
        }
        self._calls: list[dict[str, Any]] = []  # that the judge awaits
        self._num_calls = 0  # of the line that awaits its replies
        self.is_done = False
        self.error = self.failure = ""
        self.passed, self.total = 0, 1

    def call(self) -> bytes | None:  # noqa: D102
        if self._num_calls or self.is_done:
            return None
        if not self._calls:
            self._ask_judge()
        self._num_calls = len(self._calls)
        return None if self.is_done else self._line(self._calls)

    def take(self, line: bytes) -> None:  # noqa: D102
        self._message = {"replies": self._read(line, self._num_calls)}
        self._calls, self._num_calls = [], 0

    def end(self) -> None:  # noqa: D102
        if not self.is_done:
            self._message = {"replies": [], "gone": "the program has ended"}
            self._ask_judge()

    def _ask_judge(self) -> None:
        """Send the judge what it awaits; take the calls that it wants, or its verdict."""
        try:
            answer = self._server.judge().ask(self._message)
        except JudgeGone as problem:
            self._server.drop_judge()
            answer = {"passed": False, "error": f"the tests did not come to an end: {problem}"}
        self._calls = answer.get("calls", [])
        if not self._calls:
            self.is_done = True
            self.passed = int(answer["passed"] is True)
            self.error = answer["error"] or ""


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
