"""A planted copy of a problem is found, by its words or by its code; other rows are not."""

import json

import pytest
from potstill.curation.contamination import Benchmarks, count, known
from potstill.curation.shapes import shapes
from potstill.tasks import TASKS, Text, Where

# HumanEval/0, told in other words, with every name and the layout changed.
PARAPHRASE = """
import math

def any_two_near(values: list, gap: float) -> bool:
    '''Are there two of the values whose distance is below the gap?'''
    for first, one in enumerate(values):
        for second, two in enumerate(values):
            if first != second:
                space = abs(one - two)
                if space < gap:
                    return True

    return False
"""
JS_PARAPHRASE = """
function anyTwoNear(values, gap) {
  for (let a = 0; a < values.length; a++) {
    for (let b = 0; b < values.length; b++) {
      if (a != b) {
        let space = Math.abs(values[a] - values[b]);
        if (space < gap) {
          return true;
        }
      }
    }
  }
  return false;
}
"""
JS_SOLUTION = """
/* Check if in given list of numbers, are any two closer to each other than threshold. */
const hasCloseElements = (numbers, threshold) => {
  for (let i = 0; i < numbers.length; i++) {
    for (let j = 0; j < numbers.length; j++) {
      if (i != j) {
        let distance = Math.abs(numbers[i] - numbers[j]);
        if (distance < threshold) {
          return true;
        }
      }
    }
  }
  return false;
}
"""
OTHER = """
def count_vowels(text):
    total = 0
    for sign in text.lower():
        if sign in "aeiou":
            total += 1
        elif sign == "y" and total > 3:
            total -= 2
    return total
"""


def row(code, language="python", task=""):
    return {"text": f"{task}\n{code}", "code": code, "language": language}


@pytest.fixture(scope="module")
def texts():
    texts = known(Where())
    texts["humaneval_js"] = [Text("JavaScript/0", JS_SOLUTION, JS_SOLUTION, "javascript")]
    return texts


@pytest.fixture(scope="module")
def benchmarks(texts):
    return Benchmarks(texts, 12, 0.8)


def test_every_problem_of_enough_words_is_found(benchmarks, texts):
    long = [text for text in texts["humaneval"] if len(text.text.split()) > 20]
    assert len(long) > 100
    rows = [{"text": text.text, "code": "", "language": "python"} for text in long]
    assert all(benchmarks.hits(rows))


def test_case_and_punctuation_do_not_hide_a_copy(benchmarks, texts):
    text = texts["humaneval"][0].text.upper().replace("(", " ( ").replace("\n", "\n\n")
    assert benchmarks.hits([{"text": f"before {text} after", "code": "", "language": "python"}])[0]


def test_a_paraphrase_under_other_names_is_found_by_its_code(benchmarks):
    (found,) = benchmarks.likenesses([row(PARAPHRASE)])
    assert [(one.task, one.problem, one.by, one.is_hit) for one in found] == [
        ("humaneval", "HumanEval/0", "code", True)
    ]
    assert benchmarks.hits([row(PARAPHRASE)]) == [
        f"humaneval HumanEval/0, code {found[0].score:.2f}"
    ]


def test_a_function_in_another_form_is_found_in_javascript(benchmarks):
    (found,) = benchmarks.likenesses([row(JS_PARAPHRASE, "javascript")])
    assert [(one.problem, one.by, one.is_hit) for one in found] == [("JavaScript/0", "code", True)]


def test_a_likeness_below_the_share_is_a_suspect_and_no_hit(texts):
    changed = PARAPHRASE.replace("    return False", "    print(values)\n    return not values")
    strict = Benchmarks(texts, 12, 0.99)
    (found,) = strict.likenesses([row(changed)])
    assert [(one.problem, one.is_hit) for one in found] == [("HumanEval/0", False)]
    assert 0.5 <= found[0].score < 0.99
    assert strict.hits([row(changed)]) == [None]


def test_other_code_is_clean(benchmarks):
    rows = [
        row(OTHER, task="Count the vowels of a text."),
        row("def add_five(x):\n    return x + 5", task="Write a function that adds 5."),
        row("function f(x) { return x.map((y) => y + 1).join(' '); }", "javascript"),
        row("this is no program", "python"),
        row("nor ( this", "javascript"),
        row(""),
    ]
    assert benchmarks.likenesses(rows) == [[]] * len(rows)


def test_the_filter_by_rare_runs_misses_nothing(benchmarks, texts):
    """Pairs that it finds are those of the Jaccard index itself, for every solution."""
    solutions = list(texts["humaneval"])
    runs = [
        {shape[i : i + 5] for i in range(len(shape) - 4)} if len(shape) >= 24 else set()
        for shape in shapes([text.code for text in solutions], "python")
    ]
    wanted = {
        (one.id, other.id)
        for one, mine in zip(solutions, runs, strict=True)
        for other, its in zip(solutions, runs, strict=True)
        if mine and its and len(mine & its) / len(mine | its) >= 0.5
    }
    found = benchmarks.likenesses(
        [{"text": "", "code": t.code, "language": "python"} for t in solutions]
    )
    long = {text.id for text, mine in zip(solutions, runs, strict=True) if mine}
    assert len(wanted) > len(long) > 100
    assert {
        (text.id, like.problem)
        for text, each in zip(solutions, found, strict=True)
        for like in each
        if text.id in long
    } == wanted


def test_one_word_less_than_n_is_not_a_hit():
    few = Benchmarks({"mbpp": [Text("1", "a b c d e f", "", "python")]}, 4, 0.8)
    rows = [
        {"text": text, "code": "", "language": "python"} for text in ("x a b c y", "x a b c d y")
    ]
    assert few.hits(rows) == [None, "mbpp 1, words a b c d"]


def test_a_benchmark_that_users_point_to_is_kept_out_too(tmp_path):
    text = "Write a function to count how many tall blue houses stand between two green rivers."
    problem = {
        "task_id": "mbpp/1",
        "text": text,
        "code": "def f(x):\n    return x",
        "split": "train",
    }
    (tmp_path / "mbpp.jsonl").write_text(json.dumps(problem))
    texts = known(Where({"mbpp": str(tmp_path / "mbpp.jsonl")}))
    assert count(texts) == count(known(Where())) + 1
    assert Benchmarks(texts, 12, 0.8).hits([{"text": text, "code": "", "language": "python"}])[0]
    assert known(Where({"mbpp": str(tmp_path / "absent.jsonl")}))["mbpp"].endswith("sources.mbpp")


def test_every_registered_task_is_compared_or_says_why_not(benchmarks):
    compared = benchmarks.compared()
    assert set(compared) == set(TASKS)
    assert compared["humaneval"]["num_texts"] == 164
    assert 100 < compared["humaneval"]["num_codes"] < 164
    assert len(compared["humaneval"]["texts_sha256"]) == 16
    assert compared["mbpp"]["compared"] is False
    assert "benchmarks.sources.mbpp" in compared["mbpp"]["reason"]
    assert compared["agent"]["made_of"] == ["katas"]
