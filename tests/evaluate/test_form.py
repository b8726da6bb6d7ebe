"""The form of answers: references have it, other answers do not, and each format is told."""

import pytest
from potstill.models import formats
from potstill.tasks import TASKS, Where


def references(bench):
    """Return a function prompt -> the reference of what it asks."""
    problems = TASKS["formats"].problems(Where(prompts=bench.prompts))
    known = {item.messages[-1]["content"]: item for item in problems}
    return problems, lambda prompt: next(item for text, item in known.items() if text in prompt)


def test_references_are_well_formed_in_every_format(bench):
    problems, find = references(bench)
    metrics, rows = bench.score({"formats": 999}, lambda prompt: find(prompt).reference)
    assert metrics["formats.verdict"] == "run"
    assert metrics["formats.n"] == metrics["formats.problems"] == len(problems) == len(rows)
    assert metrics["formats.well_formed"] == metrics["formats.well_formed_lenient"] == 1
    for name in ("plan", "code", "reflect", "decompose"):
        part = f"formats.well_formed[format={name}]"
        assert metrics[part] == 1
        assert metrics[f"{part}.low"] < 1  # all alike is not certain
        assert metrics[f"{part}.n"] == sum(row["format"] == name for row in rows)


def test_the_form_of_another_prompt_is_none(bench):
    _, find = references(bench)

    def wrong(prompt):
        item = find(prompt)
        return "1. Think.\n2. Return." if item.format != "plan" else "def f():\n    return 1"

    metrics, _ = bench.score({"formats": 999}, wrong)
    assert (metrics["formats.verdict"], metrics["formats.well_formed"]) == ("run", 0)
    assert metrics["formats.well_formed_lenient"] == 0


def test_words_around_an_answer_cost_the_strict_rate_alone(bench):
    _, find = references(bench)
    metrics, rows = bench.score(
        {"formats": 999}, lambda prompt: f"Sure!\n\n{find(prompt).reference}\n\nI hope it helps."
    )
    assert metrics["formats.well_formed"] == 0
    assert metrics["formats.well_formed_lenient"] == 1
    assert not any(row["passed"] for row in rows)


@pytest.mark.parametrize("outside", [True, False])
def test_code_outside_the_subset_or_of_another_name_is_not_well_formed(bench, outside):
    _, find = references(bench)

    def say(prompt):
        item = find(prompt)
        if item.format not in ("code", "reflect"):
            return item.reference
        extra = {"python": "import os\n", "javascript": "eval('1');\n"}[item.language]
        other = item.reference.replace(item.entry_point, "other")
        return f"```\n{extra + item.reference if outside else other}\n```"

    metrics, _ = bench.score({"formats": 999}, say)
    for name in ("plan", "code", "reflect", "decompose"):
        expected = float(name in ("plan", "decompose"))
        assert metrics[f"formats.well_formed[format={name}]"] == expected


@pytest.mark.parametrize(
    "answer", ["", "\0", "\0" * 999, "x " * 500_000, "```\n" * 99, "[" * 9999, "\ud800"]
)
def test_hostile_answers_are_judged_and_have_no_form(bench, answer):
    metrics, rows = bench.score({"formats": 8}, lambda _: answer)
    assert (metrics["formats.verdict"], metrics["formats.well_formed"]) == ("run", 0)
    assert len(rows) == 8


def test_a_closed_fence_is_read_as_the_agent_does():
    assert formats.has_closed_block("```\n1. a\n```")  # where writing stops, whatever was asked


def test_answers_that_are_cut_off_are_no_score(bench):
    metrics, _ = bench.score({"formats": 20}, lambda _: ("1. Go on, and on", "length"))
    assert (metrics["formats.verdict"], metrics["formats.hit_limit"]) == ("not-run", 1)
    assert "cut off" in metrics["formats.reason"]
    assert "formats.well_formed" not in metrics


def test_a_random_model_is_asked_by_its_real_runtime(bench):
    metrics, rows = bench.score({"formats": 6}, max_tokens={"formats": 8})
    assert len(rows) == metrics["formats.n"] == 6
    assert not any(row["passed"] for row in rows)
    assert bench.score({"formats": 6}, max_tokens={"formats": 8}) == (metrics, rows)
