"""Rows that ask to complete a signature."""

import json

from potstill import katas
from potstill.data import completion
from potstill.models import formats

KATAS = katas.instances(0, 2, ["python", "javascript"])


def rows():
    return [
        {**row, "group": row["family"], "origin": "reference", "code": row["reference"]}
        for row in KATAS
    ]


def test_a_half_is_bare_and_the_answer_is_the_whole_function():
    made = completion.completion_rows(rows())
    assert len(made) == len({each["id"] for each in made}) == len(rows())
    bare = [each for each in made if len(each["messages"]) == 2]
    assert 0.4 < len(bare) / len(made) < 0.6
    by_answer = {each["code"] for each in rows()}
    for each in made:
        assert each["messages"][-1]["content"] in by_answer
        asked = each["messages"][-2]["content"]
        if each not in bare:
            assert asked.startswith("Write ")
            assert "Complete this function." in asked
    python = [each["messages"][-2]["content"] for each in made if each["language"] == "python"]
    assert 0.4 < sum("from typing import" in asked for asked in python) / len(python) < 0.6


def test_humaneval_is_asked_in_the_same_words():
    text = "def f(x):\n"
    (_, asked) = formats.completion_prompt(text, "python")
    assert asked == formats.code_prompt(f"Complete this function.\n\n{text}", "python")[1]
    assert json.dumps(formats.completion_prompt(text, None)) == json.dumps(
        [{"role": "user", "content": text}]
    )
