"""The process that runs a program: it loads the code, then answers calls until there are none.

Everything in this process belongs to the program, this module included: it may patch what it
likes. It never holds an expected value, and a reply is only a claim about what a function returned.
"""

import atexit
import json
import sys
import types
from typing import Any, Protocol

from . import wire
from .channel import Channel, Closed
from .javascript import JavaScriptProgram

JsonObject = dict[str, Any]
_FILE = "<string>"  # the program's name in a traceback, as for `python -c`


class Program(Protocol):
    """A language's way to run code."""

    def load(self, code: str) -> None:
        """Run the program's top level."""

    def call(self, name: str, args: list[Any], kwargs: JsonObject) -> Any:  # noqa: ANN401
        """Call one of its functions."""

    def show(self, error: BaseException) -> tuple[str, str]:
        """Write an error to stderr; return its type's name and its message."""


class PythonProgram:
    """Python code in a module of its own."""

    def __init__(self, name: str) -> None:
        self._module = types.ModuleType(name)
        sys.modules[name] = self._module  # dataclasses and pickle look it up

    def load(self, code: str) -> None:
        """Run the program as `python -c` does."""
        exec(compile(code, _FILE, "exec", dont_inherit=True), self._module.__dict__)

    def call(self, name: str, args: list[Any], kwargs: JsonObject) -> Any:  # noqa: ANN401
        """Call a function that the program defined."""
        if name not in self._module.__dict__:
            raise NameError(f"name {name!r} is not defined")
        return self._module.__dict__[name](*args, **kwargs)

    @staticmethod
    def show(error: BaseException) -> tuple[str, str]:
        """Write a traceback that begins with the program's first frame."""
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != _FILE:
            trace = trace.tb_next
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        return type(error).__name__, str(error)


def main(channel: Channel, limits: JsonObject) -> int:
    """Load the program that comes over the channel, answer its calls, return an exit code."""
    try:
        job = channel.receive()
        program: Program
        if job["language"] == "javascript":
            program = JavaScriptProgram(limits)
        else:
            program = PythonProgram("program" if job["calls"] else "__main__")
        code = _load(program, job.pop("code"))
        if job["calls"] and code == 0:
            _answer(program, channel, job["nonce"])
        elif not job["calls"]:
            _end_script()
    except Closed:
        return 1  # the parent has lost interest
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    return code


def _load(program: Program, code: str) -> int:
    try:
        program.load(code)
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        print(error.code, file=sys.stderr)  # noqa: T201 - the program's own stderr
        return 1
    except BaseException as error:
        program.show(error)
        return 1
    return 0


def _answer(program: Program, channel: Channel, nonce: str) -> None:
    while True:
        message = channel.receive()
        replies = ",".join(_reply(program, call) for call in message["calls"])
        head = json.dumps({"nonce": nonce, "seq": message["seq"]})
        channel.send(f'{head[:-1]}, "replies": [{replies}]}}\n'.encode())


def _reply(program: Program, call: JsonObject) -> str:
    try:
        value = program.call(call["name"], wire.decode(call["args"]), wire.decode(call["kwargs"]))
        return json.dumps({"value": wire.encode(value)})  # fails for an int of too many digits
    except BaseException as error:  # as above
        return json.dumps({"error": program.show(error)})


def _end_script() -> None:
    """Do what Python does at the end of a script."""
    threading = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()
    atexit._run_exitfuncs()
