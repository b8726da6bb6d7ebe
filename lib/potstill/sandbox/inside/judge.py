"""The process that runs tests' sources, against programs that run in processes of their own.

`check(candidate)` gets a stand-in that hands its arguments to the parent and returns the reply that
the parent brings from the program, so the asserts run where no line of the program does, on values
of built-in types. One judge serves many cases, one after the other: a test's source is trusted not
to spoil it for the next, which a program never reaches.

Takes {"tests", "entry_point"}; sends {"call": {"name", "args", "kwargs"}} and takes {"value"},
{"error": [type, message]} or {"gone": why} for each; ends with {"passed", "error"}.
"""

import builtins
import importlib
import sys
from typing import Any

from . import wire
from .channel import Channel, Closed


class Gone(BaseException):
    """The program has ended, so a call cannot be answered.

    Not an Exception: a test that expects the program to raise one must not take this for it.
    """


class Link:
    """The calls of one case."""

    def __init__(self, parent: Channel) -> None:
        self._parent = parent
        self.is_broken = False

    def call(self, name: str, args: tuple[object, ...], kwargs: dict[str, object]) -> Any:  # noqa: ANN401
        """Call and wait for the reply.

        Raises:
            Gone: there is none.
            Exception: what the function raised, as the built-in type that it is.
        """
        call = {"name": name, "args": wire.encode(list(args)), "kwargs": wire.encode(kwargs)}
        self._parent.send(wire.line({"call": call}))
        reply = self._parent.receive()
        if "error" in reply:
            kind = getattr(builtins, reply["error"][0], None)
            is_plain = isinstance(kind, type) and issubclass(kind, Exception)
            raise (kind if is_plain else RuntimeError)(reply["error"][1])
        try:
            return wire.decode(reply["value"])
        except (KeyError, ValueError) as problem:
            self.is_broken = True
            raise Gone(reply.get("gone", str(problem))) from None


class Remote:
    """A function of the program's."""

    def __init__(self, link: Link, name: str) -> None:
        self._link = link
        self.__name__ = name

    def __call__(self, *args: object, **kwargs: object) -> Any:  # noqa: ANN401, D102
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


def _judge(parent: Channel, tests: str, entry_point: str) -> dict[str, Any]:
    link = Link(parent)
    names = _Namespace(link)
    candidate = Remote(link, entry_point)
    error = None
    try:
        exec(compile(tests, "<tests>", "exec", dont_inherit=True), names)
        names[entry_point] = candidate  # whatever the source made of it
        names["check"](candidate)
    except Closed:
        raise
    except BaseException as problem:  # every way to end but one is a failure
        error = f"{type(problem).__name__}: {problem}".removesuffix(": ")
    return {"passed": error is None and not link.is_broken, "error": error}


def main(parent: Channel) -> int:
    """Judge case after case until the parent has gone."""
    try:
        while True:
            job = parent.receive()
            parent.send(wire.line(_judge(parent, job["tests"], job["entry_point"])))
    except Closed:
        return 0
