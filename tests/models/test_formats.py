"""Prompts name what is wanted; answers are read back as the agent reads them."""

import json

import pytest
from potstill.models import formats


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("def f():\n    return 1\n", "def f():\n    return 1"),
        ("```python\ndef f():\n    return 1\n```\nIt returns 1.", "def f():\n    return 1"),
        ("Here:\n```js\nlet a = 1;\n```\n```js\nlet b;\n```", "let a = 1;"),
        ("```\nx = 1\n```", "x = 1"),
        ("```python\ndef f():\n    return", "def f():\n    return"),
        ("    indented\nrest\n\n", "    indented\nrest"),
        ("", ""),
        ("``` python\r\nx = 1\r\n```", "x = 1"),
    ],
)
def test_the_first_fence_or_the_whole_text_is_the_code(answer, code):
    assert formats.extract_code(answer) == code


def test_a_bare_answer_is_a_fixed_point():
    code = "def f(s):\n    return s.replace('`', '')"
    assert formats.extract_code(code) == code


@pytest.mark.parametrize(("language", "name"), formats.LANGUAGE_NAMES.items())
def test_code_and_reflect_prompts_name_the_language(language, name):
    for prompt in (
        formats.code_prompt("T", language, ["one", "two"]),
        formats.reflect_prompt("T", "C", "E", language),
    ):
        assert [message["role"] for message in prompt] == ["system", "user"]
        assert name in prompt[1]["content"]
    assert "1. one\n2. two" in formats.code_prompt("T", language, ["one", "two"])[1]["content"]


def test_subtasks_are_the_json_list_of_the_agent():
    assert json.loads(formats.subtasks(['a "b"', "c"], "python")) == [
        {"input": 'a "b"', "language": "python"},
        {"input": "c", "language": "python"},
    ]
