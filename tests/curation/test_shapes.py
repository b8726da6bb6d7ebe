"""When two programs are alike, and when they are the same code."""

import pytest
from potstill.curation.shapes import shapes

ADD = "def add(a, b):\n    return [c + b for c in a]"
JS_ADD = "function add(a, b) {\n  const sums = a.map((c) => c + b);\n  return sums;\n}"


def same(one, other, language="python"):
    first, second = shapes([one, other], language, exact=True)
    assert first
    assert second
    return first == second


@pytest.mark.parametrize(
    "other",
    [
        "def add(x, y):\n    return [z + y for z in x]",
        'def add(a: list[int], b: int) -> list:\n    """Add."""\n    return [c+b for c in a]  # !',
    ],
)
def test_names_notes_types_and_layout_do_not_count(other):
    assert same(other, ADD)


@pytest.mark.parametrize(
    "other",
    [
        "def plus(a, b):\n    return [c + b for c in a]",
        "def add(a, b):\n    return [c + a for c in a]",
        "def add(a, b):\n    return [c + b for c in b]",
        "def add(a, b):\n    return [c - b for c in a]",
        "def add(a, b):\n    return list(c + b for c in a)",
    ],
)
def test_another_computation_is_other_code(other):
    assert not same(other, ADD)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "def f(a):\n    return max(a, key=len)",
            "def f(a):\n    return max(a, default=len)",
        ),
        ("from math import ceil as g", "from math import floor as g"),
        ("def f(a):\n    return a, 'a'", "def f(b):\n    return b, 'b'"),
        ("if a:\n    b()\nc()", "if a:\n    b()\n    c()"),
    ],
)
def test_what_the_tree_says_beside_its_nodes_counts(one, other):
    assert not same(one, other)


def test_names_of_caught_errors_and_of_outer_variables_do_not_count():
    code = """
def f(a):
    n = 0
    def g():
        nonlocal n
        try:
            n += a
        except TypeError as error:
            print(error)
    return g
"""
    other = code.replace("error", "e").replace("n = 0", "m = 0")
    other = other.replace("nonlocal n", "nonlocal m").replace("n += a", "m += a")
    assert same(code, other)


@pytest.mark.parametrize(
    "other",
    [
        f"// Adds.\n{JS_ADD} /* done */",
        JS_ADD.replace("sums", "all").replace("const", "let"),
        "function add(list, by){const out=list.map(one=>one+by);return out}",
    ],
)
def test_names_notes_and_layout_do_not_count_in_javascript(other):
    assert same(other, JS_ADD, "javascript")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (JS_ADD, JS_ADD.replace("c + b", "c + a")),
        (JS_ADD, JS_ADD.replace("c + b", "c + b + 1")),
        (JS_ADD, JS_ADD.replace("add", "plus")),
        (JS_ADD, JS_ADD.replace(".map", ".filter")),
        ("function f(a) { return '//' + a; }", "function f(a) { return '//x' + a; }"),
        ("function f(a) { return { a }; }", "function f(b) { return { b }; }"),
        ("function f(a) { return a.a; }", "function f(a) { return a[a]; }"),
        ("if (a) b(); c();", "if (a) { b(); c(); }"),
        ("f(1n)", "f(2n)"),
        ("f(/a/g)", "f(/a/i)"),
    ],
)
def test_another_computation_is_other_code_in_javascript(one, other):
    assert not same(one, other, "javascript")


def test_members_and_keys_keep_their_names_whatever_variables_are_called():
    one = "function f(size) { return { size: size }.size; }"
    other = "function f(n) { return { size: n }.size; }"
    assert same(one, other, "javascript")


def test_names_constants_docstrings_types_and_imports_are_no_part_of_a_rough_shape():
    one = "def f(a: int) -> int:\n    'Words.'\n    b = a + 1\n    return len(b)"
    other = "import math\ndef g(x):\n    y = x + 27\n    return len(y)"
    called = other.replace("len", "max")
    first, second, third, broken = shapes([one, other, called, "def ("], "python")
    assert first == second != third
    assert broken == ()
