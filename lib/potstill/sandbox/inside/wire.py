"""Values between the process of a program and the one that judges it: JSON, one line each.

Python's values keep their types, so that (1, 2) is not [1, 2] to a test; what is decoded is built
of built-in types alone, so that no `__eq__` or other method of the program runs where a verdict is
made. A subclass of a built-in type is sent as that type, an iterable of another type as an
iterator, which equals nothing.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

_COLLECTIONS: dict[str, type] = {"tuple": tuple, "set": set, "frozenset": frozenset}


def encode(value: object) -> Any:  # noqa: ANN401, PLR0911 - JSON has no narrower type
    """Return a JSON value for `decode`.

    Raises:
        TypeError: no built-in value stands for it.
        RecursionError: it holds itself.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(item)] for key, item in value.items()]}
    for name, kind in _COLLECTIONS.items():
        if isinstance(value, kind):
            return {name: [encode(item) for item in value]}  # type: ignore[attr-defined]
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, bytes | bytearray):
        return {"bytes": value.hex()}
    if isinstance(value, Iterable):
        return {"iterator": [encode(item) for item in value]}
    raise TypeError(f"a value of type {type(value).__name__} cannot leave the sandbox")


def decode(value: Any) -> Any:  # noqa: ANN401 - as above
    """Return the value that `encode` was given, of built-in types.

    Raises:
        ValueError: not a JSON value of `encode`'s.
    """
    try:
        return _decode(value)
    except (TypeError, KeyError, IndexError, RecursionError) as error:
        raise ValueError(f"not an encoded value: {error}") from None


def _decode(value: Any) -> Any:  # noqa: ANN401 - as above
    if isinstance(value, list):
        return _items(value)
    if isinstance(value, dict):
        ((name, payload),) = value.items()
        return _DECODERS[name](payload)
    return value


def _items(payload: Any) -> list[Any]:  # noqa: ANN401 - as above
    return [_decode(item) for item in payload]


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "tuple": lambda payload: tuple(_items(payload)),
    "set": lambda payload: set(_items(payload)),
    "frozenset": lambda payload: frozenset(_items(payload)),
    "dict": lambda payload: {_decode(key): _decode(item) for key, item in payload},
    "complex": lambda payload: complex(float(payload[0]), float(payload[1])),
    "bytes": bytes.fromhex,
    "iterator": lambda payload: iter(_items(payload)),
}


def line(message: dict[str, Any]) -> bytes:
    """Return a message as one line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def parse(text: bytes) -> dict[str, Any]:
    """Return the message of one line.

    Raises:
        ValueError: anything but one JSON object.
    """
    try:
        message = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(message, dict):
        raise ValueError("not a message")
    return message
