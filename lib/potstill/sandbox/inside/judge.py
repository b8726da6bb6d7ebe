"""The process that runs tests' sources, against programs that run in processes of their own.

`check(candidate)` gets a stand-in that hands its arguments to the parent and returns the reply that
the parent brings from the program, so the asserts run where no line of the program does, on values
of built-in types. One judge serves many cases, one after the other: a test's source is trusted not
to spoil it for the next, which a program never reaches.

Tests in JavaScript run in an engine of this process: console.assert must hold, and the entry point
is a stand-in too. Arguments and values pass as JSON, so undefined arrives as null.

Takes {"tests", "entry_point", "language"}; sends {"calls": [{"name", "args", "kwargs"}, ...]} and
takes {"replies": [{"value"} or {"error": [type, message]}, ...]}, with {"gone": why} if no more can
come, as often as it likes; ends with {"passed", "error"}.
"""

import ast
import builtins
import functools
import importlib
import json
import sys
import types
from typing import Any

import _quickjs  # type: ignore[import-not-found]  # a compiled module without stubs

from . import wire
from .channel import Channel, Closed

_JAVASCRIPT = """
((call, parse, stringify) => {
  delete globalThis.__call;
  globalThis.console = {
    log: () => {},
    assert: (holds, text) => { if (!holds) throw new Error(text || "Assertion failed"); },
  };
  globalThis.%(name)s = (...args) => {
    const reply = parse(call(stringify(args)));
    if ("error" in reply) throw new Error(reply.error);
    return reply.value;
  };
})(__call, JSON.parse, JSON.stringify)
"""


class Gone(BaseException):
    """The program has ended, so a call cannot be answered.

    Not an Exception: a test that expects the program to raise one must not take this for it.
    """


class Link:
    """The calls of one case, in order.

    Calls that can be told from the source are made ahead, all in one message: to wait for each
    would take longer than the program.
    """

    def __init__(self, parent: Channel, ahead: list[dict[str, Any]]) -> None:
        self._parent = parent
        self._ahead = ahead
        self._replies: list[dict[str, Any]] = []
        self._gone = ""
        self.is_broken = False

    def call(self, name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:  # noqa: ANN401
        """Call and wait for the reply.

        Raises:
            Gone: there is none.
            Exception: what the function raised, as the built-in type that it is.
        """
        call = {"name": name, "args": wire.encode(list(args)), "kwargs": wire.encode(kwargs)}
        if not self._ahead or self._ahead[0] != call:  # not as foreseen: one at a time from here
            self._ahead, self._replies = [call], []
        if not self._replies and not self._gone:
            self._parent.send(wire.line({"calls": self._ahead}))
            message = self._parent.receive()
            self._replies, self._gone = message["replies"], message.get("gone", "")
        self._ahead = self._ahead[1:]
        return self._value(self._replies.pop(0) if self._replies else {})

    def _value(self, reply: dict[str, Any]) -> Any:  # noqa: ANN401
        if "error" in reply:
            kind = getattr(builtins, reply["error"][0], None)
            if isinstance(kind, type) and issubclass(kind, Exception):
                raise kind(reply["error"][1])
            raise RuntimeError(reply["error"][1])
        try:
            return wire.decode(reply["value"])
        except (KeyError, ValueError) as problem:
            self.is_broken = True
            raise Gone(self._gone or str(problem)) from None


def _foreseen(tree: ast.Module, entry_point: str) -> list[dict[str, Any]]:
    """Return the calls candidate(literals) that check() makes unless an assert stops it."""
    checks = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    calls: list[dict[str, Any]] = []
    for statement in checks[-1].body if checks and checks[-1].name == "check" else ():
        if not isinstance(statement, ast.Assert):
            break
        for node in ast.walk(statement.test):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                if node.func.id != checks[-1].args.args[0].arg:
                    continue
                try:
                    args = [ast.literal_eval(argument) for argument in node.args]
                except ValueError:
                    return calls
                if node.keywords:
                    return calls
                encoded = {"args": wire.encode(args), "kwargs": wire.encode({})}
                calls.append({"name": entry_point, **encoded})
    return calls


@functools.lru_cache(maxsize=1024)
def _prepare(tests: str, entry_point: str) -> tuple[types.CodeType, list[dict[str, Any]]]:
    """Return a source's code and its foreseen calls; samples of one task share them."""
    tree = ast.parse(tests)
    calls = _foreseen(tree, entry_point)
    return compile(tree, "<tests>", "exec", dont_inherit=True), calls


class Remote:
    """A function of the program's."""

    def __init__(self, link: Link, name: str) -> None:
        self._link = link
        self.__name__ = name

    def __call__(self, *args: object, **kwargs: object) -> Any:  # noqa: ANN401
        """Call it in the program's process."""
        return self._link.call(self.__name__, args, kwargs)


class _Namespace(dict[str, Any]):
    """The test's names; one that it does not define is a module or the program's.

    Test sources were written to run behind the program's own imports and helpers.
    """

    def __init__(self, link: Link) -> None:
        super().__init__(__name__="tests")
        self._link = link

    def __missing__(self, name: str) -> Any:  # noqa: ANN401
        if name.startswith("__") or hasattr(builtins, name):
            raise KeyError(name)  # the interpreter finds it among the built-in names
        if name in sys.stdlib_module_names:
            return importlib.import_module(name)
        return Remote(self._link, name)


def _check_python(parent: Channel, tests: str, entry_point: str) -> bool:
    """Run a test's source; return whether every reply was one that can be judged."""
    code, ahead = _prepare(tests, entry_point)
    link = Link(parent, ahead)
    names = _Namespace(link)
    candidate = Remote(link, entry_point)
    exec(code, names)
    check = names["check"]  # a function under test may bear this name too
    names[entry_point] = candidate  # whatever the source made of it
    check(candidate)
    return not link.is_broken


def _check_javascript(parent: Channel, tests: str, entry_point: str) -> bool:
    """As `_check_python`."""
    link = Link(parent, [])
    gone: list[BaseException] = []  # which no test may catch, nor the engine keep

    def call(args: str) -> str:
        try:
            return json.dumps({"value": link.call(entry_point, tuple(json.loads(args)), {})})
        except Exception as error:
            return json.dumps({"error": f"{type(error).__name__}: {error}"})
        except BaseException as error:
            gone.append(error)
            return json.dumps({"error": "the program has ended"})

    context = _quickjs.Context()
    context.add_callable("__call", call)
    context.eval(_JAVASCRIPT % {"name": entry_point})
    context.eval(tests)
    while context.execute_pending_job():
        pass
    if gone:
        raise gone[0]
    return not link.is_broken


_CHECKS = {"python": _check_python, "javascript": _check_javascript}


def _judge(parent: Channel, job: dict[str, Any]) -> dict[str, Any]:
    is_sound, error = False, None
    try:
        is_sound = _CHECKS[job["language"]](parent, job["tests"], job["entry_point"])
    except Closed:
        raise
    except BaseException as problem:  # every way to end but one is a failure
        error = f"{type(problem).__name__}: {problem}".removesuffix(": ")
    return {"passed": error is None and is_sound, "error": error}


def main(parent: Channel) -> int:
    """Judge case after case until the parent has gone."""
    try:
        while True:
            parent.send(wire.line(_judge(parent, parent.receive())))
    except Closed:
        return 0
