"""Every candidate is kept or rejected with one reason; the counts add up; failures teach."""

from typing import get_args

import pytest
from potstill import files, sandbox
from potstill.curation import curation, quality
from potstill.data.pairs import pair_rows
from potstill.models.formats import Origin
from potstill.tasks import TASKS, Where

from stages.curate import Params, main

SETTINGS = {
    "sources": {},
    "policy": "edgecoder",
    "max_code_characters": 200,
    "request_languages": ["en"],
    "ngram_words": 12,
    "code_jaccard": 0.8,
    "near_duplicate": 0.7,
    "slips": 1,
    "min_quality": 0.0,
    "answers_per_task": 1,
    "max_answer_ratio": 5.0,
    "cpu_s": 1.0,
    "engine": "local",
    "workers": 2,
    "sandbox": "minimum",
}
TASK = {
    "id": "t1",
    "family": "add",
    "level": 1,
    "language": "python",
    "licence": "x",
    "task": "Write a function add(a, b) that returns the sum.",
    "entry_point": "add",
    "plan": ["Add."],
    "reference": "def add(a, b):\n    return a + b",
    "tests": [{"args": [1, 2], "expected": 3}, {"args": [0, 0], "expected": 0}],
}
LONG = "Count how often each of the first letters of the given names of the cats occurs in a row."
HELD = "Say of each of the blue houses of the old town how many of its windows look to the north."
KEY = "ghp_" + "wWPw5k4aXcaT4fNP0UcnZwJUVFk6LO0pINUx"
STUDENT = "```python\ndef add(a, b):\n    return [a, b][2]\n```"
ANSWERS = {
    "good": "```python\ndef add(a, b):\n    return b + a\n```",
    "wrong": "def add(a, b):\n    return a - b",
    "crash": "def add(a, b):\n    return a + c",
    "outside": "import math\ndef add(a, b):\n    return a + b",
    "pattern": "def add(a, b):\n    return eval('a+b')",
    "endless": "def add(a, b):\n    while True:\n        a = a",
    "long": "def add(a, b):\n    return a + b" + " " * 10 + "# x" * 100,
    "silent": "",
    "copy": "def add(a, b):\n    return  a + b",
}


def mined(name, words, code="def f(x):\n    return x * 2", group="module", called="f"):
    """Return a mined function with tests, as `derive_tests` writes it."""
    return {
        "id": name,
        "name": called,
        "arguments": "x",
        "docstring": words,
        "code": code,
        "reference": code,
        "language": "python",
        "licence": "PSF-2.0",
        "source": f"lib:{group}.py",
        "group": group,
        "family": group,
        "level": 0,
        "plan": [],
        "task": f"Write a function {called}(x). {words}",
        "entry_point": called,
        "tests": [{"args": [3], "expected": 6}, {"args": ["a"], "expected": "aa"}],
    }


@pytest.fixture
def curated(tmp_path):
    (tmp_path / "p").mkdir()
    tasks = [{**TASK, "id": name, "task": f"{TASK['task']} ({name})"} for name in ANSWERS]
    files.write_jsonl(tmp_path / "p/train.jsonl", tasks)
    held = {**TASK, "id": "h", "family": "other", "task": HELD, "reference": "def h(x): return x"}
    files.write_jsonl(tmp_path / "p/validation.jsonl", [held])
    files.write_jsonl(tmp_path / "p/test.jsonl", [{**held, "task": "Else", "family": "third"}])
    (tmp_path / "a").mkdir()
    others = [{"id": "long", "text": text} for text in (STUDENT, TASK["reference"] + "  # mine")]
    files.write_jsonl(tmp_path / "a/student.jsonl", others)
    said = {"finish": "stop", "teacher": "t"}
    samples = [{"id": name, "text": text, **said} for name, text in ANSWERS.items()]
    samples[-1]["id"] = "good"  # the reference of `good` comes later and is a copy of it
    files.write_jsonl(tmp_path / "s.jsonl", samples)
    text = TASKS["humaneval"].texts(Where())[1].text
    twice = "def f(x):\n    return x * 2"
    rows = [
        mined("m4", HELD, "def h(x): return x", "module", "h"),
        mined("m6", LONG, twice, "module3"),
        mined("m5", f"{LONG} again", twice, "module2"),
        mined("m1", " ".join(text.split()), "def f(x):\n    return x"),
        mined("m7", "As told by ana.kovac@posta.hr it is doubled."),
        mined("m8", "Double it.", f"def f(x):\n    return x + '{KEY}'"),
        mined("m9", "Verdoppelt den Wert und gibt ihn zurück."),
        mined("m2", "Double it."),
        mined("m3", "Lose it.", "def f(x):\n    return x.gone"),
    ]
    (tmp_path / "f").mkdir()
    files.write_jsonl(tmp_path / "f/functions.jsonl", rows)
    (tmp_path / "scratch").mkdir()
    metrics = main(
        Params(**SETTINGS),
        prompts=tmp_path / "p",
        samples=tmp_path / "s.jsonl",
        functions=tmp_path / "f",
        answers=tmp_path / "a",
        problems=tmp_path,
        out=tmp_path / "out",
        scratch=tmp_path / "scratch",
    )
    rows = {
        name: list(files.read_jsonl(tmp_path / "out" / f"{name}.jsonl"))
        for name in ("accepted", "reflect", "rejected")
    }
    return metrics, rows


def test_every_reason_is_counted_and_the_counts_add_up(curated):
    metrics, rows = curated
    reasons = {key: value for key, value in metrics.items() if key.startswith("rejected_")}
    assert sum(reasons.values()) + metrics["num_kept"] == metrics["num_in"]
    assert reasons["rejected_subset_node"] == 1
    assert reasons["rejected_subset_pattern"] == 1
    assert reasons["rejected_timeout"] == 1
    assert reasons["rejected_too_long"] == 1
    assert reasons["rejected_empty"] == 1
    assert reasons["rejected_duplicate"] == 1
    assert reasons["rejected_contaminated"] == 1
    assert reasons["rejected_secret"] == 1
    assert reasons["rejected_personal"] == 1
    assert reasons["rejected_request_language"] == 1
    assert reasons["rejected_near_heldout"] == 1
    assert reasons["rejected_near_duplicate"] == 1
    assert reasons["rejected_tests_failed"] == 5  # wrong, crash, slip, the student's, a function
    assert reasons["rejected_no_fault"] == 1  # the student's right answer
    assert len(rows["rejected"]) == sum(reasons.values())
    assert KEY not in str(rows)
    assert "posta.hr" not in str(rows)


def test_what_was_executed_and_failed_tells_what_a_pair_of_answers_needs(curated):
    _, rows = curated
    pairs = pair_rows(rows["accepted"], rows["rejected"], fenced=False)
    found = [(row["format"], row["messages"][-1]["content"]) for row in pairs]
    failed = [ANSWERS[name] for name in ("wrong", "crash", "endless")]
    assert {text for side, text in found if side == "rejected"} >= set(failed)
    assert (
        len([side for side, _ in found if side == "rejected"]) == 5
    )  # and the planted slip, and the student
    assert {text for side, text in found if side == "chosen"} == {TASK["reference"]}


def test_what_is_kept_is_whole_and_in_the_subset(curated):
    _, rows = curated
    origins = [row["origin"] for row in rows["accepted"]]
    assert origins.count("mined") == 2
    assert all(row["tests"] for row in rows["accepted"])
    assert origins.count("teacher") >= 1
    assert all("import" not in row["code"] for row in rows["accepted"])
    everywhere = {row.get("origin") for part in rows.values() for row in part}
    assert everywhere | {"bfcl"} == set(get_args(Origin))  # what a phase may ask for


def test_a_foreign_request_is_rejected_with_its_language_and_kept_rows_name_theirs(curated):
    _, rows = curated
    reasons = {row["id"]: (row["reason"], row["detail"]) for row in rows["rejected"]}
    assert reasons["m9"] == ("request_language", "de")


def test_the_shortest_passed_answers_of_a_task_are_kept_each_other_code(tmp_path):
    codes = {
        "short": "def add(a, b):\n    return b + a",
        "same": "def add(x, y):\n    # sum\n    return y + x",
        "other": "def add(a, b):\n    c = a + b\n    return c",
        "third": "def add(a, b):\n    c = a\n    c += b\n    return c",
        "long": "def add(a, b):\n    return a + b\n" + "add(1, 2)\n" * 12,
        "fails": "def add(a, b):\n    return a * b",
    }
    (tmp_path / "p").mkdir()
    for name, rows in {"train": [TASK], "validation": [], "test": []}.items():
        files.write_jsonl(tmp_path / f"p/{name}.jsonl", rows)
    said = {"id": "t1", "finish": "stop", "teacher": "t"}
    answers = [{"text": code, **said} for code in codes.values()]
    files.write_jsonl(tmp_path / "s.jsonl", answers)
    (tmp_path / "f").mkdir()
    files.write_jsonl(tmp_path / "f/functions.jsonl", [])
    params = Params(**SETTINGS | {"answers_per_task": 2, "max_answer_ratio": 3.0, "slips": 0})
    paths = {"prompts": tmp_path / "p", "samples": tmp_path / "s.jsonl", "problems": tmp_path}
    paths |= {"answers": tmp_path / "a", "scratch": tmp_path / "scratch"}
    paths["scratch"].mkdir()
    metrics = main(params, functions=tmp_path / "f", out=tmp_path / "out", **paths)
    accepted = files.read_jsonl(tmp_path / "out/accepted.jsonl")
    kept = {row["code"] for row in accepted if row["origin"] == "teacher"}
    assert kept == {codes["short"], codes["other"]}
    reasons = {key: n for key, n in metrics.items() if key.startswith("rejected_")}
    assert reasons == {
        "rejected_same_code": 1,
        "rejected_enough_answers": 1,
        "rejected_long_winded": 1,
        "rejected_tests_failed": 1,
    }
    (broken,) = files.read_jsonl(tmp_path / "out/reflect.jsonl")
    assert (broken["origin"], broken["teacher"]) == ("teacher", "t")
    assert broken["fix"] == codes["short"]


def test_reflect_rows_hold_a_real_error_and_a_fix_that_passes(curated):
    _, rows = curated
    errors = [row["error"] for row in rows["reflect"]]
    assert any("NameError" in error for error in errors)
    assert all(row["fix"] == TASK["reference"] for row in rows["reflect"])


def test_every_kept_row_has_its_quality_with_the_parts(curated):
    _, rows = curated
    for row in rows["accepted"]:
        assert row["quality"] == quality.score(row["quality_parts"])
        assert set(row["quality_parts"]) == set(quality.PARTS)


def test_a_least_quality_rejects_what_is_below_with_its_score():
    row = {**TASK, "origin": "reference", "group": "add", "code": TASK["reference"]}
    score = quality.score(quality.parts(row))
    ((kept, refusal),) = curation._graded([(row, None)], score)
    assert (kept["quality"], refusal) == (score, None)
    ((_, refusal),) = curation._graded([(row, None)], score + 0.01)
    assert refusal == ("low_quality", f"{score:.2f}")
    assert list(curation._graded([(row, ("x", ""))], 0.0)) == [(row, ("x", ""))]


def test_the_students_own_failure_is_shown_with_the_words_of_its_run(curated):
    _, rows = curated
    (row,) = [row for row in rows["reflect"] if row["origin"] == "student"]
    assert row["code"] == "def add(a, b):\n    return [a, b][2]"
    run = sandbox.run("python", row["code"], tests=TASK["tests"], entry_point="add")
    assert (
        row["error"] == run.stderr.strip().splitlines()[-1] == "IndexError: list index out of range"
    )
