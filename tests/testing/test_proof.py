"""Mined functions get tests that are their own outputs, or a reason why not."""

import json
from dataclasses import replace

import pytest
from potstill import sandbox
from potstill.testing import inputs, proof
from potstill.testing.execution import Execution

RUN = Execution(sandbox.Limits(cpu_s=1.0), 2, "minimum")
PROVEN = {
    "clamp": "def clamp(value, low, high):\n    if value < low:\n        return low\n"
    "    return high if value > high else value",
    "title": "def title(text):\n    return ' '.join(w[:1].upper() + w[1:] for w in text.split())",
    "total": "def total(values):\n    s = 1\n    for v in values:\n        s += v\n    return s",
}
REASONS = {
    "no_inputs": "def f(x):\n    return x.nothing.at.all",
    "one_output": "def f(x):\n    return None",
    "not_repeatable": "def f(words):\n    return [w for w in set(str(words) + 'abcdefgh')]",
    "prints": "def f(x):\n    print(x)\n    return str(x)",
    "timeout": "def f(x):\n    while True:\n        x = x",
    "does_not_run": "def f(x):\n    raise SystemExit",
    "weak_tests": "def f(x):\n    y = 1 + 2 - 3 + 4 * 5\n    z = y * 7 + 8 * 9\n    return str(x)",
}


def row(code, name="f", docstring="", language="python", arguments=""):
    row = {"id": code, "name": name, "code": code, "docstring": docstring}
    return {**row, "language": language, "arguments": arguments}


def guesses(code, docstring=""):
    return inputs.guesses(inputs.of_python("f", code, docstring), "seed")


def test_what_is_proven_passes_its_tests_and_its_faults_do_not():
    rows = [row(code, name) for name, code in PROVEN.items()]
    assert proof.prove(rows, RUN) == [None] * len(rows)
    for each in rows:
        assert proof.MIN_TESTS <= len(each["tests"]) <= proof.MAX_TESTS
        assert len({json.dumps(test["expected"]) for test in each["tests"]}) > 1
        run = sandbox.run(
            "python", each["code"], tests=each["tests"], entry_point=each["entry_point"]
        )
        assert run.ok
    again = [row(code, name) for name, code in PROVEN.items()]
    proof.prove(again, replace(RUN, workers=1))
    assert again == rows


def test_each_reason():
    rows = [row(code) for code in REASONS.values()]
    assert proof.prove(rows, RUN) == list(REASONS)
    assert not any("tests" in each for each in rows[:-1])


def test_nothing_to_prove():
    assert proof.prove([], RUN) == []


def test_what_a_program_prints_itself_becomes_no_test():
    numbers = {str(n): n for n in range(6)}
    codes = [
        f"import os\ndef f(x: int):\n  os.write(1, {json.dumps(said)!r}.encode())\n  os._exit(0)"
        for said in (
            {"printed": False, "found": numbers},
            {"printed": False, "found": {"99": 1, "-1": 2, "x": 3}},
            {"printed": False, "found": [1, 2, 3]},
            [],
        )
    ]
    rows = [row(code) for code in codes]
    assert proof.prove(rows, RUN) == [None, "prints", "does_not_run", "does_not_run"]
    tests = rows[0]["tests"]
    assert not sandbox.run("python", codes[0], tests=tests, entry_point="f").ok  # `curate` does so


def test_guesses_follow_what_is_known():
    docstring = ">>> f('left', 3)\n'lef'\n>>> f(unknown, 3)\n>>> g('x', 1)"
    found = guesses("def f(text: str, n: int): pass", docstring)
    assert found[0] == ["left", 3]
    assert all(isinstance(a, str) and isinstance(b, int) for a, b in found)
    assert found == guesses("def f(text: str, n: int): pass", docstring)
    assert len(found) > 20
    assert len({json.dumps(args) for args in found}) == len(found)
    assert all(map(inputs.is_plain, found))


@pytest.mark.parametrize(
    ("signature", "types"),
    [
        ("x: list[str]", {list}),
        ("x: 'Sequence[int]'", {list}),
        ("x: typing.Optional[int]", {int, type(None)}),
        ("x: int | str", {int, str}),
        ("x: List[List[int]]", {list}),
        ("x=2.5", {float}),
        ("flag=True", {bool}),
        ("mapping: Dict[str, int]", {dict}),
    ],
)
def test_types_and_defaults(signature, types):
    found = guesses(f"def f({signature}): pass")
    assert {type(args[0]) for args in found} == types


def test_functions_without_arguments_have_no_guesses():
    assert guesses("def f(): pass") == []
    assert guesses("def f(*, x): pass") == []


def test_own_constants_lead_into_branches():
    found = guesses("def f(text):\n    return text.split('#')[0]")
    assert any("#" in args[0] for args in found if isinstance(args[0], str))


def test_values_that_json_does_not_give_back():
    for value in (float("nan"), float("inf"), "\ud800", (1,), {1: 2}, b"x", [object()]):
        assert not inputs.is_plain(value)
