"""Lines over a descriptor, between a case's processes."""

import os
from typing import Any

from . import wire

_CHUNK = 1 << 12  # a larger buffer is fresh memory in every case


class Closed(BaseException):
    """The other side has gone or sent what is no message.

    Not an Exception: a test that expects the program to raise one must not take this for it.
    """


class Channel:
    """One side of a socket that carries messages as lines; blocking."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""

    def send(self, line: bytes) -> None:
        """Send a message, already a line.

        Raises:
            Closed: nobody reads any more.
        """
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            raise Closed(str(error)) from None

    def receive(self) -> dict[str, Any]:
        """Wait for the next message.

        Raises:
            Closed: there is none to come, or it is none.
        """
        parts = [self._rest]
        while b"\n" not in parts[-1]:
            try:
                parts.append(os.read(self._descriptor, _CHUNK))
            except OSError as error:
                raise Closed(str(error)) from None
            if not parts[-1]:
                raise Closed("the other side has ended")
        text, _, self._rest = b"".join(parts).partition(b"\n")
        try:
            return wire.parse(text)
        except ValueError as error:
            raise Closed(str(error)) from None
