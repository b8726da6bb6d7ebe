"""JavaScript in an embedded QuickJS: the language and `console.log`, nothing of a host.

Printing as the EdgeCoder executor did: arguments as Array.join(" ") writes them, so arrays are
"1,2,3", null and undefined empty; lines are joined by newlines, and none ends the last one.
"""

import json
import sys
from typing import Any

import _quickjs  # type: ignore[import-not-found]  # a compiled module without stubs

_CONSOLE = """
((write, join) => {
  delete globalThis.__write;
  globalThis.console = { log: (...values) => { write(join.call(values, " ")); } };
})(__write, Array.prototype.join)
"""
# Takes a function and its arguments as JSON, returns its value as JSON. What JSON would turn into
# another value (NaN into null, a Map into {}) is refused.
_CALL = """
((parse, stringify, finite, error) => {
  const strict = (_, value) => {
    const type = typeof value;
    const lost = type === "function" || type === "symbol" || (type === "number" && !finite(value))
      || value instanceof Map || value instanceof Set || value instanceof Promise;
    if (lost) throw new error("this value cannot leave the sandbox: " + String(value));
    return value;
  };
  return (callee, args) => {
    const value = callee(...parse(args));
    return value === undefined ? "null" : stringify(value, strict);
  };
})(JSON.parse, JSON.stringify, Number.isFinite, TypeError)
"""
_ENGINE_SHARE = 0.75  # of the address space: the engine's own limit gives the clearer error


class JavaScriptProgram:
    """A program in a fresh engine."""

    def __init__(self, limits: dict[str, Any]) -> None:
        self._lines = 0
        self._context = _quickjs.Context()
        self._context.set_memory_limit(int((limits["memory_mb"] << 20) * _ENGINE_SHARE))
        # No time limit here: with one, the engine lets no console.log through. The server has it.
        self._context.add_callable("__write", self._write)
        self._context.eval(_CONSOLE)
        self._invoke = self._context.eval(_CALL)

    def _write(self, text: str) -> None:
        sys.stdout.write("\n" + text if self._lines else text)
        self._lines += 1

    def load(self, code: str) -> None:
        """Run the program's top level and the jobs that it leaves."""
        self._context.eval(code)
        while self._context.execute_pending_job():
            pass

    def call(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
        """Call a top-level function with JSON values; undefined is returned as None."""
        if kwargs:
            raise TypeError("JavaScript has no keyword arguments")
        callee = self._context.eval(name)
        return json.loads(self._invoke(callee, json.dumps(args)))

    @staticmethod
    def show(error: BaseException) -> tuple[str, str]:
        """Write an error as "Name: message" to stderr; return the name and the message."""
        lines = str(error).strip().split("\n")
        while len(lines) > 1 and lines[-1].startswith("    at "):
            lines.pop()
        text = "\n".join(lines)
        print(text, file=sys.stderr)  # noqa: T201 - the program's own stderr
        name, _, message = text.partition(": ")
        return name, message
