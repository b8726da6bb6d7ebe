"""Signatures to complete: what they show is true of the row."""

import ast

import pytest
from potstill import katas
from potstill.models import stubs

KATAS = katas.instances(0, 2, ["python", "javascript"])


def rows():
    return [{**row, "code": row["reference"]} for row in KATAS]


def row(**changes):
    base = {
        "task": "Create the function add(a, b). It should add the two numbers.",
        "language": "python",
        "entry_point": "add",
        "code": "def add(a, b):\n    return a + b",
        "tests": [{"args": [1, 2], "expected": 3}, {"args": [-1, 5], "expected": 4}],
    }
    return base | changes


def test_a_typed_head_with_its_examples():
    assert stubs.stub(row(), style=2) == (
        "def add(a: int, b: int) -> int:\n"
        '    """Add the two numbers.\n'
        "\n"
        "    >>> add(1, 2)\n"
        "    3\n"
        "    >>> add(-1, 5)\n"
        "    4\n"
        '    """\n'
    )


def test_typing_names_come_with_their_import():
    tests = [{"args": [[1, 2], {"a": 0.5}], "expected": [["x"]]}]
    text = stubs.stub(row(tests=tests), style=1)
    assert text.startswith("from typing import Dict, List\n\n\ndef add(")
    assert "(a: List[int], b: Dict[str, float]) -> List[List[str]]:" in text


def test_javascript_has_a_comment_and_json():
    text = stubs.stub(
        row(
            language="javascript",
            code="function add(a, b) {\n  return a && b;\n}",
            tests=[{"args": [True, None], "expected": False}],
        ),
        style=1,
    )
    assert text == (
        "/* Add the two numbers.\n  >>> add(true, null)\n  false\n  */\nconst add = (a, b) => {\n"
    )


@pytest.mark.parametrize("style", [0, 1, 2])
def test_every_kata_has_a_head_that_parses_and_examples_that_hold(style):
    for each in rows():
        text = stubs.stub(each, style)
        assert text is not None, each["task"]
        if each["language"] == "javascript":
            continue
        *imports, function = ast.parse(text).body
        assert function.name == each["entry_point"]
        assert all(isinstance(node, ast.ImportFrom) for node in imports)
        annotations = [ast.unparse(arg.annotation) for arg in function.args.args if arg.annotation]
        assert not annotations or style
        has_upper = any(word in " ".join(annotations) for word in ("List", "Dict"))
        assert not has_upper or imports
        namespace = {}
        exec(each["code"], namespace)
        shown = [line.strip() for line in ast.get_docstring(function).splitlines()]
        for number, line in enumerate(shown):
            if line.startswith(">>> "):
                assert repr(eval(line[4:], namespace)) == shown[number + 1]


@pytest.mark.parametrize(
    "changes",
    [
        {"entry_point": None},
        {"tests": []},
        {"code": "add = lambda a, b: a + b"},
        {"code": "def add(a, b=2):\n    return a + b"},
        {"code": "def add(*a):\n    return sum(a)"},
        {"task": 'Write a function add(a, b) that returns """.'},
        {"task": "Write a function add(a, b) that splits at \\n."},
        {"language": "javascript", "code": "const add = ({a, b}) => a + b;"},
        {"language": "javascript", "code": "add(1, 2)"},
    ],
)
def test_what_cannot_be_said_has_no_row(changes):
    assert stubs.stub(row(**changes), style=0) is None


def test_mixed_values_have_no_types():
    tests = [{"args": [1, "a"], "expected": None}, {"args": ["b", 2], "expected": 4}]
    assert stubs.stub(row(tests=tests), style=2).startswith("def add(a, b):\n")
    assert stubs.stub(row(tests=tests), style=1).startswith(
        "from typing import Any\n\n\ndef add(a: Any, b: Any) -> Any:\n"
    )
    assert stubs.stub(row(tests=[{"args": [1, 2.5], "expected": True}]), 2).startswith(
        "def add(a: int, b: float) -> bool:\n"
    )


def test_long_examples_are_left_out():
    long = {"args": [list(range(60)), 1], "expected": 1}
    text = stubs.stub(row(tests=[long, {"args": [[1], 1], "expected": 1}]), style=0)
    assert text.count(">>>") == 1


def test_half_of_python_has_types_of_typing():
    drawn = [stubs.style(each) for each in rows() if each["language"] == "python"]
    assert 0.4 < drawn.count(1) / len(drawn) < 0.6
    assert set(drawn) == {0, 1, 2}
