"""When two answers are the same code."""

import pytest
from potstill.curation.variety import shape

ADD = "def add(a, b):\n    return [c + b for c in a]"


@pytest.mark.parametrize(
    "other",
    [
        "def add(x, y):\n    return [z + y for z in x]",
        'def add(a: list[int], b: int) -> list:\n    """Add."""\n    return [c+b for c in a]  # !',
    ],
)
def test_names_notes_types_and_layout_do_not_count(other):
    assert shape(other, "python") == shape(ADD, "python")


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
    assert shape(other, "python") != shape(ADD, "python")


def test_javascript_is_compared_without_notes_and_blank_space():
    code = "function f(a) {\n  return a + 1;\n}"
    assert shape(f"// Adds.\n{code} /* done */", "javascript") == shape(code, "javascript")
    assert shape(code.replace("1", "2"), "javascript") != shape(code, "javascript")
