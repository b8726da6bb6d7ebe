"""JavaScript as the EdgeCoder executor ran it: its console.log, its errors, its values."""

# Programs are kept on one line.

import pytest
from potstill.sandbox import run

CHECK = (
    "def check(candidate):\n    assert candidate(2) == [2, 'x']\n    assert candidate(2)[0] == 2\n"
)


@pytest.mark.parametrize(
    ("code", "stdout"),
    [
        ("console.log('a', 1, true)", "a 1 true"),
        ("console.log([1, 2, [3]], {}, null, undefined, 'z')", "1,2,3 [object Object]   z"),
        ("console.log(1); console.log(); console.log(2)", "1\n\n2"),
        ("Promise.resolve().then(() => console.log('later')); console.log('now')", "now\nlater"),
        ("console.log('ä€😀')", "ä€😀"),
        ("console.log(() => 1)", "() => 1"),
    ],
)
def test_console_log_joins_as_arrays_do(code, stdout):
    result = run("javascript", code)
    assert (result.ok, result.stdout, result.stderr) == (True, stdout, "")


@pytest.mark.parametrize(
    ("code", "stderr"),
    [
        ("null.x", "TypeError: cannot read property 'x' of null"),
        ("function f() { throw new RangeError('bad\\nnews') }\nf()", "RangeError: bad\nnews"),
        ("x y", "SyntaxError: "),
        ("console.error('a')", "TypeError: "),
        ("setTimeout(() => 1)", "ReferenceError: setTimeout is not defined"),
    ],
)
def test_errors_are_name_and_message(code, stderr):
    result = run("javascript", code)
    assert (result.ok, result.exit_code) == (False, 1)
    assert result.stderr.startswith(stderr)
    assert "    at " not in result.stderr


def test_functions_are_called_with_json_values():
    rows = [
        {"args": [{"a": [1, None]}, "ä"], "expected": [{"a": [1, None]}, "ä"]},
        {"args": [1.5, True], "expected": [1.5, True]},
    ]
    for code in ("function echo(a, b) { return [a, b] }", "const echo = (a, b) => [a, b]"):
        assert run("javascript", code, tests=rows, entry_point="echo").ok


@pytest.mark.parametrize(
    ("value", "expected", "passes"),
    [
        ("undefined", None, True),
        ("NaN", None, False),
        ("new Map()", {}, False),
        ("new Set([1])", {}, False),
        ("() => 1", None, False),
        ("1n", 1, False),
        ("Infinity", None, False),
        ("[undefined]", [None], True),
        ("0.1 + 0.2", 0.3, True),
        ("3", 3.0, True),
        ("true", 1, False),
        ("'1'", 1, False),
    ],
)
def test_values_that_json_would_change_do_not_pass(value, expected, passes):
    tests = [{"args": [], "expected": expected}]
    result = run("javascript", f"function f() {{ return {value} }}", tests=tests, entry_point="f")
    assert result.ok is passes


def test_python_check_judges_javascript():
    code = "function f(n) { return [n, 'x'] }"
    assert run("javascript", code, tests=CHECK, entry_point="f").ok
    assert not run("javascript", "function f(n) { return n }", tests=CHECK, entry_point="f").ok
