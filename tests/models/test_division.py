"""Requests are divided by the plans of their references; what a plan leaves out is not divided."""

import json

import pytest
from potstill import katas
from potstill.models import division

ROW = {
    "language": "python",
    "task": 'Write a function wrap(s) that puts "==" before and after s, 2 times.',
    "entry_point": "wrap",
    "reference": 'def wrap(s,  end=None):\n    return "====" + s + "===="',
    "plan": ['Put "==" before s 2 times.', "Do so after it"],
}


def test_a_part_is_the_signature_with_the_steps():
    assert division.part(ROW) == (
        'Write wrap(s, end=None). Put "==" before s 2 times. Do so after it.'
    )
    assert (
        json.loads(division.answer([ROW, ROW]))
        == [{"input": division.part(ROW), "language": "python"}] * 2
    )
    assert division.request([ROW, ROW]) == f"{ROW['task']} Then: {ROW['task']}"


@pytest.mark.parametrize(
    "changes",
    [
        {"plan": ['Put "==" before s twice.']},  # 2 is lost
        {"plan": ["Put them before s 2 times."]},  # the text is lost
        {"plan": [ROW["task"]]},  # a copy
        {"plan": []},
        {"reference": None},
        {"entry_point": None},
        {"entry_point": "wrapped"},
    ],
)
def test_what_cannot_be_divided_is_not(changes):
    assert division.part(ROW | changes) is None


def test_of_the_katas_most_families_are_divided_and_no_part_copies_its_task():
    rows = katas.instances(0, 2, ["python", "javascript"])
    divided = [row for row in rows if division.part(row)]
    assert len({row["family"] for row in divided}) > 0.7 * len({row["family"] for row in rows})
    for row in divided:
        text = division.part(row)
        assert text not in row["task"]
        assert division.covers(row["task"], text)
        words = row["task"].lower().split()
        shared = [" ".join(words[at : at + 7]) in text.lower() for at in range(len(words) - 6)]
        assert not any(shared)
