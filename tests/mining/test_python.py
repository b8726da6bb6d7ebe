"""Functions that stand alone: what comes along, what drops them, and that they then run alone."""

import ast
import subprocess
import sys

import pytest
from potstill.mining import mining, places, python

MODULE = '''
import os, re as pattern
from string import ascii_letters as letters, digits
from . import sibling
import numpy
if os.name == "posix":
    SEP = "/"
else:
    SEP = chr(92)
LIMIT: int = 3
TWICE = LIMIT * 2
AGAIN = 1
AGAIN = 2
def helper(x):
    """Doc."""
    return x + TWICE
class Thing:
    pass
def cached(f):
    return f
'''


def mined(code, *, name="f"):
    module = python.read((MODULE + code).encode())
    (function,) = [each for each in module.functions if each.name == name]
    return python._best(function, module)[1]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ('def f(x):\n    """D."""\n    return x', "def f(x):\n    return x"),
        ("def f(x):\n    return pattern.sub(x, '', x)", "import re as pattern\ndef f"),
        ("def f():\n    return letters", "from string import ascii_letters as letters\ndef f"),
        (
            "def f(x):\n    return helper(x)",
            "LIMIT: int = 3\nTWICE = LIMIT * 2\ndef helper(x):\n    return x + TWICE\ndef f",
        ),
        ("def f(x: Thing) -> Thing:\n    return x", "def f(x):\n    return x"),
        ("def f(x: int, *, y: str='a') -> int:\n    return x", "def f(x: int, *, y: str='a')"),
        ("def f(helper):\n    return [helper for SEP in helper]", "def f(helper)"),
        ("def f(n):\n    return n and f(n - 1)", "def f(n)"),
    ],
)
def test_what_a_function_reads_comes_along(code, expected):
    found = mined(code)
    assert found.startswith(expected)
    names = {"__builtins__": __builtins__}
    exec(found, names)
    assert callable(names["f"])


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def f():\n    return SEP", "needs_condition"),
        ("def f():\n    return Thing()", "needs_class"),
        ("def f():\n    return AGAIN", "bound_twice"),
        ("def f():\n    return missing", "needs_unknown"),
        ("def f():\n    return sibling.x", "needs_package"),
        ("def f():\n    return numpy.zeros(3)", "needs_package"),
        ("@cached\ndef f():\n    return 1", "decorated"),
        ("def f():\n    global LIMIT\n    LIMIT = 4", "global_state"),
        ('def f():\n    """D."""', "no_body"),
        ("def f():\n    return 1\nf = cached(f)", "bound_twice"),
        (
            "".join(f"C{n} = C{n + 1}\n" for n in range(20)) + "def f():\n    return C0",
            "needs_much",
        ),
    ],
)
def test_what_cannot_stand_alone_is_dropped_with_its_reason(code, reason):
    with pytest.raises(python.Dropped, match=reason):
        mined(code)


def test_rows_and_reasons_of_a_folder(tmp_path):
    (tmp_path / "a.py").write_text(
        'def f(x, *, y=1):\n    """Add."""\n    # why\n    return x + y\n'
    )
    (tmp_path / "b.py").write_text(
        'def g():\n    """Doc."""\n    return gone\ndef bare():\n    return 1\n'
    )
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "coded.py").write_bytes(b"# coding: latin-1\ns = '\xe9'\n\x00")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/t.py").write_text('def t():\n    """T."""\n    return 1\n')
    rows, reasons = mining.count(mining.mine(places.find(f"folder:{tmp_path}", "MIT")))
    (row,) = rows
    assert reasons == {"needs_unknown": 1}
    assert row["code"] == "def f(x, *, y=1):\n    return x + y"
    assert row["arguments"] == "x, *, y=1"
    assert (row["licence"], row["source"]) == ("MIT", f"{tmp_path.name}:a.py")


def test_of_the_real_library_every_function_loads_alone(tmp_path):
    rows, reasons = mining.count(mining.mine(places.find("stdlib", None)))
    assert len(rows) > 500
    assert reasons["needs_class"] > 100
    assert len({row["id"] for row in rows}) == len(rows)
    for row in rows:
        ast.parse(row["code"])
    # what a function reads when it is defined: names that its defaults or constants need
    alone = [row for row in rows if "import" not in row["code"]][:200]
    program = tmp_path / "p.py"
    program.write_text("\n".join(f"exec({row['code']!r}, {{}})" for row in alone))
    subprocess.run([sys.executable, program], check=True, timeout=60)
