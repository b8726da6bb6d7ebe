"""The parent's verdict on one reply: is the value that a program returned the expected one?"""

import math
from typing import Any

TOLERANCE = 1e-6  # of floats, absolute and relative


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
        actual, expected = _text_keys(actual), _text_keys(expected)
        return actual.keys() == expected.keys() and all(
            equal(value, expected[key]) for key, value in actual.items()
        )
    return type(actual) is type(expected) and actual == expected


def _equal_numbers(actual: float, expected: float) -> bool:
    if isinstance(actual, int) and isinstance(expected, int):
        return actual == expected
    try:
        return math.isclose(actual, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    except OverflowError:  # an int beyond the floats
        return False


def _text_keys(value: dict[Any, Any]) -> dict[str, Any]:
    return {_text_key(key): item for key, item in value.items()}


def _text_key(key: object) -> str:
    names = {True: "true", False: "false"} if isinstance(key, bool) else {None: "null"}
    if key is None or isinstance(key, bool):
        return names[key]
    return key if isinstance(key, str) else repr(key)
