"""Tasks that are made of held-out rows: what is asked, and with whose words."""

import json
from collections import Counter

import pytest
from potstill import files, katas, sandbox
from potstill.models import division, formats
from potstill.tasks import TASKS, UnavailableError, Where

ROWS = katas.instances(0, 2, ["python", "javascript"])[:48]


@pytest.fixture
def where(tmp_path):
    files.write_jsonl(tmp_path / "test.jsonl", ROWS)
    return Where(prompts=tmp_path)


def test_the_four_formats_are_asked_of_each_family_and_language(where):
    problems = TASKS["formats"].problems(where)
    places = {(row["family"], row["language"]) for row in ROWS}
    counts = Counter(problem.format for problem in problems)
    assert counts["plan"] == counts["code"] == len(places)
    assert 0.7 * len(places) < counts["decompose"] <= len(places)
    assert 0.7 * len(places) < counts["reflect"] <= len(places)
    assert {(item.family, item.language) for item in problems} == places


def test_what_is_to_be_mended_fails_with_the_words_that_are_shown(where):
    reflect = [item for item in TASKS["formats"].problems(where) if item.format == "reflect"]
    assert {item.language for item in reflect} == {"python", "javascript"}
    kinds = {
        item.messages[-1]["content"].rpartition("Error:\n")[2].split(":")[0] for item in reflect
    }
    assert {"AssertionError"} < kinds  # a failed test, and what interpreters say
    for item in reflect:
        shown = item.messages[-1]["content"]
        code, _, error = shown.partition("\n\nCode:\n")[2].rpartition("\n\nError:\n")
        run = sandbox.run(item.language, code, tests=item.tests, entry_point=item.entry_point)
        assert not run.ok
        assert (run.stderr.strip() or run.failure).splitlines()[-1] == error != ""
        assert code != item.reference
        mended = sandbox.run(
            item.language, item.reference, tests=item.tests, entry_point=item.entry_point
        )
        assert mended.ok


def test_a_request_is_divided_into_parts_of_its_tasks_that_are_no_copies(where):
    decompose = [item for item in TASKS["formats"].problems(where) if item.format == "decompose"]
    parts = {row["task"]: division.part(row) for row in ROWS}
    sizes = set()
    for item in decompose:
        tasks = json.loads(item.reference)
        assert {task["language"] for task in tasks} == {item.language}
        asked = item.messages[-1]["content"].partition("Request: ")[2].split(" Then: ")
        assert item.messages == formats.decompose_prompt(" Then: ".join(asked))
        assert [parts[task] for task in asked] == [task["input"] for task in tasks]
        assert not any(task["input"] in item.messages[-1]["content"] for task in tasks)
        sizes.add(len(tasks))
    assert sizes == {2, 3}


def test_plans_are_asked_once_for_each_wording(where):
    problems = TASKS["plans"].problems(where)
    assert len(problems) == len({row["task"] for row in ROWS})
    plans = {row["task"]: formats.numbered(row["plan"]) for row in ROWS}
    assert {item.request: item.reference for item in problems} == plans


def test_the_likelihood_is_of_all_references(where):
    problems = TASKS["likelihood"].problems(where)
    counts = Counter(item.format for item in problems)
    assert counts == {"code": len(ROWS), "plan": len(TASKS["plans"].problems(where))}


@pytest.mark.parametrize("name", ["formats", "plans", "likelihood", "agent"])
def test_without_rows_they_are_unavailable(tmp_path, name):
    with pytest.raises(UnavailableError, match="run collect_prompts"):
        TASKS[name].problems(Where(prompts=tmp_path))
    with pytest.raises(UnavailableError, match="is not given"):
        TASKS[name].problems(Where())


def test_rows_without_plan_tests_or_reference_are_not_asked_for_forms(tmp_path):
    rows = [{**ROWS[0], key: None if key == "reference" else []} for key in ("plan", "tests")]
    rows.append({**ROWS[1], "reference": None})
    files.write_jsonl(tmp_path / "test.jsonl", rows)
    with pytest.raises(UnavailableError, match="no row has a plan"):
        TASKS["formats"].problems(Where(prompts=tmp_path))
