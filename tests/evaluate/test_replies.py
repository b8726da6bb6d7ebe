"""Reading plans and lists of tasks back: what the prompt asks for is found, nothing else is."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from potstill.evaluate import replies
from potstill.models import formats

PLAN = ["Add one to x.", "Return it."]
TASKS = [
    {"input": "Write f(x). Return x + 1.", "language": "python"},
    {"input": 'Write g() with [brackets] and "quotes".', "language": "javascript"},
]
LIST = json.dumps(TASKS)


def test_what_the_prompts_ask_for_is_read_back():
    assert replies.steps(formats.numbered(PLAN)) == PLAN
    answer = formats.subtasks([task["input"] for task in TASKS], "python")
    assert [task["input"] for task in replies.tasks(answer)] == [t["input"] for t in TASKS]


@pytest.mark.parametrize(
    "answer",
    ["1. Add one to x.\n2. Return it.", "\n 1) Add one to x.\r\n\n2)  Return it. \n"],
)
def test_a_plan_is_numbered_steps(answer):
    assert replies.steps(answer) == replies.steps(answer, patient=True) == PLAN


@pytest.mark.parametrize(
    "answer",
    [
        "Here is the plan:\n1. Add one to x.\n2. Return it.",
        "1. Add one to x.\n   - as a number\n2. Return it.\nDone!",
        "```\n1. Add one to x.\n2. Return it.\n```",
        "1. Add one to x.\n2. Return it.\n```python\ndef f(x): ...\n```",
    ],
)
def test_words_around_a_plan_are_for_a_patient_reader(answer):
    assert replies.steps(answer) == []
    assert replies.steps(answer, patient=True) == PLAN


@pytest.mark.parametrize(
    "answer",
    [
        "", " \n", "\0", "1.", "1. ", "1. \0\0", "1. ...", "2. Return it.", "0. Start.",
        "1. Add.\n3. Return.", "1. Add.\n1. Return.", "- Add.\n- Return.", "1.Add.", "Add one.",
        "def f(x):\n    return x + 1", "9" * 5000 + ". x", "¹. x", "١. x", "1000. x",
    ],
)  # fmt: skip
def test_what_is_no_plan_has_no_steps(answer):
    assert replies.steps(answer) == replies.steps(answer, patient=True) == []


@pytest.mark.parametrize(
    "answer", [LIST, f"\n{LIST}\n", f"```json\n{LIST}\n```", f"```\n{LIST}```\n"]
)
def test_tasks_are_a_json_list_that_a_fence_may_stand_around(answer):
    assert replies.tasks(answer) == replies.tasks(answer, patient=True) == TASKS


@pytest.mark.parametrize(
    "answer",
    [
        f"Sure:\n{LIST}",
        f"{LIST}\nThat is all [of it].",
        f"As [you] wished:\n```json\n{LIST}\n```\nDone.",
        f"```json\n{LIST}\n```\n```json\n{LIST}\n```",
        f"```\n```json\n{LIST}\n```\n```",
        f'{{"tasks": {LIST}}}',
    ],
)
def test_words_around_a_list_are_for_a_patient_reader(answer):
    assert replies.tasks(answer) == []
    assert replies.tasks(answer, patient=True) == TASKS


@pytest.mark.parametrize(
    "answer",
    [
        "", "\0", "[]", "{}", "null", "[null]", "[[]]", LIST[:-1], LIST.replace('"', "'"),
        '[{"input": "x"}]', '[{"input": "x", "language": "perl"}]',
        '[{"input": " ", "language": "python"}]', '[{"input": 3, "language": "python"}]',
        '[{"input": "x", "language": ["python"]}]', json.dumps(TASKS * 6), json.dumps(TASKS[0]),
        "NaN", "[" * 100_000, "1" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_list_of_tasks_has_none(answer):
    assert replies.tasks(answer) == replies.tasks(answer, patient=True) == []


@pytest.mark.parametrize(
    "piece", ["[", "1. a\n", "```json\n", '{"a":', "\n", " ", "\0", "1 ", "a\n"]
)
def test_a_megabyte_is_read_in_seconds(piece):
    answer = piece * (1_000_000 // len(piece))
    started = time.process_time()
    for patient in (False, True):
        replies.tasks(answer, patient=patient)
        replies.steps(answer, patient=patient)
    replies.without_numbers(answer)
    assert time.process_time() - started < 5


@given(st.text())
def test_any_text_has_a_verdict_and_a_patient_reader_finds_no_less(answer):
    assert bool(replies.steps(answer)) <= bool(replies.steps(answer, patient=True))
    assert bool(replies.tasks(answer)) <= bool(replies.tasks(answer, patient=True))
    assert "\n" not in replies.without_numbers(answer)


def test_numbers_of_steps_are_taken_off_and_nothing_else():
    answer = "Plan for 3:\n1. Add 2. to x\n 12) Return 5.\n\nDone"
    assert replies.without_numbers(answer) == "Plan for 3: Add 2. to x Return 5. Done"
    assert replies.without_numbers(formats.numbered(PLAN)) == " ".join(PLAN)
