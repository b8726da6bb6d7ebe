"""JavaScript as the EdgeCoder executor ran it: its console.log, its errors, its values."""

# Programs are kept on one line.

import pytest
from potstill.errors import InputError
from potstill.sandbox import Case, Limits, run, run_many

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


def judged(code, tests):
    limits = Limits(cpu_s=1.0)
    case = Case("javascript", code, tests, "f", limits=limits, tests_language="javascript")
    return run_many([case])[0]


ASSERTS = "for (const n of [1, 2]) { console.assert(f(n) === n + 1) }\nconsole.assert(f(0) === 1)"


@pytest.mark.parametrize(
    ("code", "passes"),
    [
        ("const f = (n) => n + 1", True),
        ("function f(n) { return n < 2 ? n + 1 : 0 }", False),
        ("function f(n) { throw new Error('no') }", False),
        ("function g(n) { return n + 1 }", False),
        ("function f(n) {", False),
        ("", False),
        ("function f(n) { return undefined }", False),
        ("console.assert = () => {}; globalThis.f = (n) => 0", False),
        ("const f = (n) => ({ valueOf: () => n + 1 })", False),
        ("Number.prototype.valueOf = () => 1; const f = () => 7", False),
        ("const f = (n) => { while (true) {} }", False),
    ],
)
def test_javascript_asserts_run_where_no_line_of_the_program_does(code, passes):
    assert judged(code, ASSERTS).ok is passes


@pytest.mark.parametrize(
    ("tests", "passes"),
    [
        ("console.assert(JSON.stringify(f(3)) === JSON.stringify([3, {'a': null}]))", True),
        ("console.assert(f(3)[0] === 3, 'three')", True),
        ("try { console.assert(f(3)[0] === 4) } catch (e) { throw e }", False),
        ("console.log(f(3))", True),
        ("nothing.is(f(3))", False),
        ("console.assert(", False),
    ],
)
def test_javascript_tests_see_values(tests, passes):
    assert judged("const f = (n) => [n, { a: null }]", tests).ok is passes


def test_a_test_cannot_take_an_ended_program_for_an_error():
    tests = "let n = 0; try { f(1) } catch (e) { n = 1 } console.assert(n === 1)"
    assert judged("const f = () => { throw new Error('x') }", tests).ok
    assert not judged("const f = () => { while (true) {} }", tests).ok


def test_an_unknown_language_of_tests_is_refused():
    with pytest.raises(InputError, match="tests_language 'ruby'"):
        Case("python", "", "x", "f", tests_language="ruby")
