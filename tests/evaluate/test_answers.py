"""From an answer to code: the agent's rule, the patient reader, and where an answer is decided."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from potstill import katas
from potstill.evaluate import answers
from potstill.models import formats
from potstill.tasks import TASKS, Where

CODE = "def f(x):\n    return x + 1"
JS = "function f(x) {\n  return x + 1;\n}"


@pytest.mark.parametrize(
    "answer", [CODE, f"```python\n{CODE}\n```", f"Here:\n```\n{CODE}\n```\nIt adds."]
)
def test_what_the_rule_reads_well_is_left_alone(answer):
    assert answers.lenient_code(answer, "python", "f") == formats.extract_code(answer) == CODE


@pytest.mark.parametrize(
    ("answer", "language", "code"),
    [
        (f"{CODE}\n```\nThis function adds one.", "python", CODE),  # a fence that was never opened
        (f"{CODE}\n```", "python", CODE),
        (f"Sure! Here it is:\n\n{CODE}\n\nThis adds one to x.", "python", CODE),
        (f"```python\nprint('usage')\n```\nand\n```python\n{CODE}\n```", "python", CODE),
        (f"{JS}\n```\nThis function adds one.", "javascript", JS),
        (f"Here you go:\n{JS}\nIt adds one.", "javascript", JS),
        ("Here:\nconst f = (x) => x + 1;\nIt adds.", "javascript", "const f = (x) => x + 1;"),
    ],
)  # fmt: skip
def test_what_the_rule_damages_is_read(answer, language, code):
    assert formats.extract_code(answer) != code
    assert answers.lenient_code(answer, language, "f") == code


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "I cannot do that.",
        "def f(x):\n    return (x",  # cut, or wrong: nothing in it is the function
        "def g(x):\n    return x",
        "def f(x):\n    y = 1\n    return y +",  # a line less would parse, and be another function
        "```python\ndef f(x):\n    return x +\n```",
    ],
)
def test_wrong_code_is_not_malformed(answer):
    assert answers.lenient_code(answer, "python", "f") == formats.extract_code(answer)


PIECES = [
    "```",
    "```python\n",
    "\n```\n",
    "\n",
    "x = 1",
    "def f():\n    return 2",
    "Here:",
    "`",
    " ",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_nothing_behind_a_closed_block_counts(answer):
    for end in range(len(answer) + 1):
        if formats.has_closed_block(answer[:end]):
            assert formats.extract_code(answer[:end]) == formats.extract_code(answer)
            return
    assert not formats.has_closed_block(answer)


@pytest.mark.parametrize(
    ("answer", "closed"),
    [
        (f"```python\n{CODE}\n```", True),
        (f"Here:\n```\n{CODE}\n```", True),  # the fence behind the prose opens
        (f"Here:\n```\n{CODE}\n", False),
        ("```python\n", False),
        (f"{CODE}\n```\nThis adds one.", False),
    ],
)
def test_a_leading_fence_does_not_end_an_answer(answer, closed):
    assert answers.decided(answer) is closed


@pytest.mark.parametrize(
    "piece",
    [
        "base * ",
        "    let total = 100000;\n",
        ' + " "',
        "\n",
        "\x0b",
        "def f(x):\n    return x\n\n\n",
    ],
)
def test_a_loop_is_noticed_wherever_it_is_cut(piece):
    text = f"{CODE}\n" + piece * 400
    found = [end for end in range(1, 1200) if answers.repeats(text[:end])]
    assert found
    assert found == list(range(found[0], 1200))
    assert found[0] <= len(CODE) + 1 + 2 * max(240, 4 * len(piece))


def test_a_loop_that_counts_is_a_loop():
    assert answers.repeats("x = [" + ", ".join(map(str, range(200))))


def test_a_number_without_an_end_is_a_loop():
    assert answers.repeats(f"{CODE}\nx = 1" + "9" * 240)
    assert answers.repeats(f"{CODE}\nx = 1" + "9" * 100, answers.LIKELY)
    assert not answers.repeats(f"{CODE}\nx = 1" + "9" * 99, answers.LIKELY)


def test_examples_behind_a_function_are_no_loop():
    """Qwen2.5-Coder-0.5B wrote four such lines behind a right answer and then ended."""
    line = 'print(fruit_distribution("{0} apples and {1} oranges", {2}))  # Output: {0}\n'
    answer = f"{CODE}\n" + "".join(line.format(n, n + 1, 3 * n) for n in range(200))
    few, many = (len(CODE) + 1 + count * len(line) for count in (4, 40))
    assert not any(answers.decided(answer[:end]) for end in range(few))
    assert answers.decided(answer[:many])  # though not for ever


def test_no_reference_repeats_at_any_place():
    for problem in TASKS["humaneval"].problems(Where()):
        text = problem.reference
        assert not any(answers.repeats(text[:end]) for end in range(0, len(text), 7)), problem.id


def test_a_short_loop_is_one_only_at_the_cap():
    answer = f"{CODE}\n" + "x = x * 2\n" * 15
    assert not answers.decided(answer)
    assert answers.repeats(answer, answers.LIKELY)
    assert not answers.repeats("if n == 1 or n == 2 or n == 3:\n    return n", answers.LIKELY)


def test_loops_without_a_period_are_told_at_the_cap():
    source = random.Random(0)
    lines = "".join(f"  return {source.choice('ab')};\n" for _ in range(25))
    assert not answers.repeats(lines, answers.LIKELY)
    assert answers.is_stuck(f"function f(a, b) {{\n{lines}")
    assert answers.is_stuck("max(" * 30 + "word" + "));" + ")));" + ")" * 20 + ";" * 60)
    assert not answers.is_stuck("")
    assert not answers.is_stuck("aaaa")


def test_no_reference_is_stuck_where_it_ends():
    for problem in TASKS["humaneval"].problems(Where()):
        assert not answers.is_stuck(problem.reference), problem.id
    for row in katas.instances(0, 1, ["python", "javascript"]):
        assert not answers.is_stuck(row["reference"]), row["id"]
