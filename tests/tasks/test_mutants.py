"""Faults are one change each, of many kinds, and tests of the katas notice nearly all."""

import ast
import difflib

import pytest
from potstill import katas, sandbox
from potstill.tasks.mutants import mutants

PYTHON = """
def clamp(value, low, high):
    if value < low and not high:
        return low
    return high * 2 if value > high else value + 1
"""
JAVASCRIPT = """
function clamp(value, low, high) {
  if (value < low && high === 3) {
    return low;
  }
  return value > high ? high * 2 : value + 1;
}
"""


def test_python_has_one_fault_each_and_parses():
    found = mutants(PYTHON, 100, "seed")
    same = ast.unparse(ast.parse(PYTHON))
    assert len(found) == len(set(found)) > 10
    assert same not in found
    for each in found:
        ast.parse(each)
        lines = [x for x in difflib.ndiff(same.splitlines(), each.splitlines()) if x[0] == "+"]
        assert len(lines) == 1
    assert mutants(PYTHON, 3, "seed") == found[:3]
    assert mutants(PYTHON, 100, "other") != found
    assert any("value <= low" in each for each in found)
    assert any("value_" in each for each in found)
    assert any("return None" in each for each in found)
    assert any("not not high" in each for each in found)


def test_javascript_has_one_fault_each():
    found = mutants(JAVASCRIPT, 100, "seed", "javascript")
    assert len(found) == len(set(found)) == 12
    for each in found:
        changed = [
            x for x in difflib.ndiff(JAVASCRIPT.splitlines(), each.splitlines()) if x[0] == "+"
        ]
        assert len(changed) == 1
    for expected in ("value <= low", "||", "!==", "=== 4", "value >= high", "value_, low"):
        assert any(expected in each for each in found)


@pytest.mark.parametrize("language", ["python", "javascript"])
def test_nothing_to_change(language):
    assert mutants("pass", 5, "seed", language) == []


@pytest.mark.slow
@pytest.mark.parametrize("language", ["python", "javascript"])
def test_of_the_katas_references_most_faults_are_noticed_and_said(language):
    tasks = [row for row in katas.instances(0, 1, [language]) if row["tests"]][:60]
    cases = [
        sandbox.Case(language, code, task["tests"], task["entry_point"])
        for task in tasks
        for code in mutants(task["reference"], 1, task["id"], language)
    ]
    runs = sandbox.run_many(cases)
    failed = [run for run in runs if not run.ok]
    assert len(failed) > 0.8 * len(runs) > 40
    said = [run.stderr.strip() or run.failure for run in failed]
    assert sum(map(bool, said)) > 0.9 * len(failed)
    assert sum("AssertionError: " in text and "expected" in text for text in said) > 0.3 * len(said)
