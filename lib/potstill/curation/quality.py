"""How good a row is to learn from: one number of six parts, each from 0 to 1.

The parts are what readers of code ask first, measured on the text alone. They judge form, not
truth: that is what execution is for. No model judges, and nothing says that a row of a higher score
teaches more: try `min_quality` on your own data before you trust it.
"""

import re
from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]
PARTS = ("documented", "typed", "length", "complexity", "tests", "names")
_ASKED_WORDS = 12  # a request of so many words says what is wanted
_LINES = (2, 30)  # of code: shorter shows little, longer teaches no small model
_TESTS = 3
_BRANCH = re.compile(r"\b(?:if|elif|else|for|while|case|catch|except)\b|\?(?!\.)")
_NAME = re.compile(r"\b[A-Za-z_]\w*\b")
_TYPED = re.compile(r"[(,]\s*\w+\s*:\s*\w|->|@param\s*\{|@returns?\s*\{")
_MEANT_SHORT = {"i", "j", "k", "n", "x", "y", "a", "b", "c", "s", "_"}
_KEYWORDS = {"def", "for", "if", "in", "is", "or", "and", "not", "let", "var", "of", "do", "as"}


def parts(row: Row) -> dict[str, float]:
    """Return the parts of a row's quality.

    Args:
        row: with task, plan and code; tests where it has some.
    """
    lines = [line for line in row["code"].splitlines() if line.strip()]
    asked = len(row["task"].split())
    tests = row.get("tests") or []
    outputs = {repr(test["expected"]) for test in tests}
    branches = len(_BRANCH.findall(row["code"]))
    names = set(_NAME.findall(row["code"])) - _KEYWORDS
    clear = [name for name in names if len(name) >= 3 or name in _MEANT_SHORT]
    few, many = _LINES
    found = {
        "documented": min(1.0, asked / _ASKED_WORDS),
        "typed": 1.0 if _TYPED.search(row["code"]) else 0.0,
        "length": min(1.0, len(lines) / few) * min(1.0, many / max(1, len(lines))),
        "complexity": min(1.0, (1 + branches) / 3) * min(1.0, 12 / (1 + branches)),
        "tests": min(1.0, len(tests) / _TESTS) * (1.0 if len(outputs) > 1 else 0.5),
        "names": len(clear) / len(names) if names else 0.0,
    }
    return {name: round(found[name], 3) for name in PARTS}


def score(found: Mapping[str, float]) -> float:
    """Return the mean of the parts."""
    return round(sum(found.values()) / len(found), 3)
