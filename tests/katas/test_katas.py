"""The kata library: both references agree, tests bite, families differ, splits are fixed.

Not tested: how hard a level is for a model, and the wording beyond what a machine can see.
"""

import ast
import json
import re
import subprocess
from collections import Counter
from difflib import SequenceMatcher

import pytest
from potstill import katas
from potstill.curation import contamination
from potstill.errors import InputError
from potstill.katas.family import MAX_EQUAL, NUM_TESTS, Family
from potstill.sandbox.grading import equal
from potstill.tasks import Where

LANGUAGES = ["python", "javascript"]
# What EdgeCoder's Python subset allows, less what no kata needs.
ALLOWED_NODES = """
    Module FunctionDef arguments arg Return Assign AugAssign For While If Expr Call keyword BinOp
    UnaryOp Compare BoolOp IfExp List Dict Tuple Name Subscript Slice Attribute ListComp
    GeneratorExp comprehension Constant Load Store Add Sub Mult Div FloorDiv Mod Pow USub Not
    And Or Eq NotEq Lt LtE Gt GtE In NotIn Starred
"""
BLOCKED_CALLS = """
    open exec eval compile getattr setattr delattr vars dir input globals locals memoryview
    bytearray breakpoint print
"""
BLOCKED_WORDS = (
    r"\b(class|new|this|throw|try|catch|await|async|yield|import|export|var|process|require|"
    r"globalThis|eval|Function|Proxy|Reflect|console)\b|`|fs\."
)
# All rows of a file in one process: for each, what the function returns, or the error.
RUNNER = """
const rows = JSON.parse(require("fs").readFileSync(0, "utf8"));
const call = ({ reference, entry_point, tests }) => {
  const solution = new Function(reference + "; return " + entry_point)();
  return tests.map(({ args }) => {
    const value = solution(...args);
    return value === undefined ? "undefined" : value;
  });
};
console.log(JSON.stringify(rows.map(call)));
"""


@pytest.fixture(scope="module")
def rows():
    """Every phrasing at every point of every grid, in both languages."""
    return katas.instances(0, 1000, LANGUAGES)


def in_language(rows, language):
    return [row for row in rows if row["language"] == language]


def test_python_references_pass_their_own_tests_and_leave_the_arguments_alone(rows):
    for row in in_language(rows, "python"):
        namespace = {}
        exec(row["reference"], namespace)
        for case in row["tests"]:
            args = json.loads(json.dumps(case["args"]))
            actual = namespace[row["entry_point"]](*args)
            assert equal(actual, case["expected"]), (row["family"], case, actual)
            assert args == case["args"], f"{row['family']} changes its arguments"


def test_javascript_references_return_the_same_values(rows):
    asked = in_language(rows, "javascript")
    process = subprocess.run(
        ["node", "-e", RUNNER], input=json.dumps(asked), capture_output=True, text=True, check=True
    )
    for row, answers in zip(asked, json.loads(process.stdout), strict=True):
        for case, actual in zip(row["tests"], answers, strict=True):
            assert equal(actual, case["expected"]), (row["family"], case, actual)


def test_no_constant_passes(rows):
    for row in rows:
        expected = Counter(json.dumps(case["expected"]) for case in row["tests"])
        assert len(row["tests"]) == NUM_TESTS
        assert max(expected.values()) <= MAX_EQUAL < NUM_TESTS, row["family"]


def test_returning_an_argument_passes_nowhere(rows):
    for row in rows:
        for i in range(len(row["tests"][0]["args"])):
            same = all(equal(case["args"][i], case["expected"]) for case in row["tests"])
            assert not same, row["family"]


def test_tests_differ_and_are_exact_in_every_language(rows):
    def numbers(value):
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            return [number for item in value for number in numbers(item)]
        return [value] if isinstance(value, int | float) else []

    for row in rows:
        assert len({json.dumps(case["args"]) for case in row["tests"]}) == NUM_TESTS
        assert all(
            abs(number) < 2**53 for case in row["tests"] for number in numbers([*case.values()])
        )


def test_python_references_stay_inside_the_subset(rows):
    allowed, blocked = set(ALLOWED_NODES.split()), set(BLOCKED_CALLS.split())
    for row in in_language(rows, "python"):
        nodes = list(ast.walk(ast.parse(row["reference"])))
        kinds = {type(node).__name__ for node in nodes}
        assert kinds <= allowed, (row["family"], kinds - allowed)
        calls = [node.func for node in nodes if isinstance(node, ast.Call)]
        called = {call.attr if isinstance(call, ast.Attribute) else call.id for call in calls}
        assert not called & blocked, row["family"]


def test_javascript_references_are_one_plain_function(rows):
    for row in in_language(rows, "javascript"):
        found = re.search(BLOCKED_WORDS, row["reference"])
        assert not found, (row["family"], found)
        assert row["reference"].startswith(f"function {row['entry_point']}(")
        assert row["reference"].count("function") == 1


def test_every_task_names_the_function_and_no_language_or_format(rows):
    for row in rows:
        call = re.escape(row["entry_point"]) + r"\([a-z, ]+\)"
        assert re.search(call, row["task"]), row["task"]
        assert "$" not in row["task"] + "".join(row["plan"]) + row["reference"].replace("+$/", "")
        assert not re.search(r"python|javascript|markdown|code|print|array|None|null", row["task"])
        assert row["plan"]


def test_levels_have_enough_families():
    counts = Counter(family.level for family in katas.FAMILIES)
    assert set(counts) == {1, 2, 3, 4}
    assert counts[1] >= 50
    assert counts[2] >= 40
    assert counts[3] >= 30
    assert counts[4] >= 12


def test_names_ids_and_texts_are_unique(rows):
    families = katas.FAMILIES
    assert len({family.name for family in families}) == len(families)
    assert len({family.entry_point("javascript") for family in families}) == len(families)
    assert len({row["id"] for row in rows}) == len(rows)
    assert len({row["task"] for row in in_language(rows, "python")}) == len(rows) // 2


def test_families_have_different_solutions_even_without_names_and_constants():
    # else a test family would be solved by what its twin in training taught
    families = {}
    for family in katas.FAMILIES:
        parameters = "|".join(re.escape(name) for name in family.parameters)
        body = re.sub(rf"\b({parameters})\b", "_", " ".join(family.python.split()))
        body = re.sub(r'"?\$\w+"?|\b\d+\b|"[^"]*"', "#", body)
        families.setdefault(body, []).append(family.name)
    assert [names for names in families.values() if len(names) > 1] == []


def test_nothing_repeats_the_benchmark(rows):
    benchmarks = contamination.Benchmarks(contamination.known(Where()), 12, 0.8)
    judged = [
        {"text": f"{row['task']}\n{row['reference']}", "code": row["reference"], **row}
        for row in rows
    ]
    hits = zip((row["family"] for row in rows), benchmarks.hits(judged), strict=True)
    assert {name: hit for name, hit in hits if hit} == {}


def test_phrasings_of_a_family_differ():
    for family in katas.FAMILIES:
        templates = family.templates
        assert len(templates) >= 3, family.name
        assert all(template.count("$signature") == 1 for template in templates), family.name
        for i, one in enumerate(templates):
            for other in templates[:i]:
                likeness = SequenceMatcher(None, one.split(), other.split()).ratio()
                assert likeness < 0.75, (family.name, likeness)


def test_a_smaller_number_of_instances_is_the_beginning_of_a_larger_one():
    few, many = (katas.instances(3, count, ["python"]) for count in (2, 5))
    by_family = {family.name: [] for family in katas.FAMILIES}
    for row in many:
        by_family[row["family"]].append(row)
    assert few == [row for found in by_family.values() for row in found[:2]]
    assert all(2 < len(found) <= 5 for found in by_family.values())


def test_rows_follow_the_seed_alone():
    assert katas.instances(1, 2, LANGUAGES) == katas.instances(1, 2, LANGUAGES)
    assert katas.instances(1, 2, LANGUAGES) != katas.instances(2, 2, LANGUAGES)


def test_both_languages_get_the_same_instances(rows):
    pairs = zip(in_language(rows, "python"), in_language(rows, "javascript"), strict=True)
    for ours, theirs in pairs:
        assert ours["tests"] == theirs["tests"]
        assert ours["task"].replace(ours["entry_point"], theirs["entry_point"]) == theirs["task"]


def test_an_unknown_language_is_named():
    with pytest.raises(InputError, match=r"'rust'; allowed: python, javascript"):
        katas.instances(0, 1, ["python", "rust"])


def test_a_family_that_a_constant_solves_is_refused():
    family = Family(
        "always(x)",
        level=1,
        phrasings="\n- Write $signature.",
        plan=("Return 1.",),
        python="return 1",
        javascript="return 1;",
        draw=lambda rng, _: [rng.random()],
    )
    with pytest.raises(AssertionError, match="always: too few different tests"):
        family.tests(0, {})
