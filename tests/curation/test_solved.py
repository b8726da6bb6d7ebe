"""A mined function keeps one of its two requests, by what answers to them did when executed."""

import json

import pytest
from potstill import files
from potstill.curation import shards, solved
from potstill.tasks import TASKS, Where

from stages.curate import Params, main
from tests.stages import test_curate

SETTINGS = test_curate.SETTINGS | {"slips": 0}
NAMES = ["both", "docstring", "own", "neither", "silent", "known"]
RIGHT, OTHER, WRONG = "return x * {n} + 1", "y = x * {n}\n    return 1 + y", "return x - {n}"
BENCHMARK = " ".join(TASKS["humaneval"].texts(Where())[1].text.split())


def code(name, body):
    return f"def {name}(x):\n    {body.format(n=len(name))}"


def function(name):
    return {
        "id": f"id-{name}",
        "name": name,
        "arguments": "x",
        "docstring": f"Do what {name} does.",
        "code": code(name, RIGHT),
        "reference": code(name, RIGHT),
        "language": "python",
        "licence": f"licence of {name}",
        "source": f"lib:{name}.py",
        "group": f"lib:{name}.py",
        "family": f"lib:{name}.py",
        "level": 0,
        "plan": [],
        "task": f"Write a function {name}(x). Do what {name} does.",
        "entry_point": name,
        "tests": [{"args": [n], "expected": n * len(name) + 1} for n in (2, 5, 7)],
    }


def words(name):
    return (
        f"Write a function {name}(x). {BENCHMARK if name == 'known' else f'Told anew of {name}.'}"
    )


def sample(name, body, own=False):
    said = {"id": f"id-{name}", "text": f"```python\n{code(name, body)}\n```"}
    said |= {"finish": "stop", "teacher": "t"}
    return said | ({"request": words(name)} if own else {})


SAMPLES = [
    sample("both", OTHER),
    sample("both", WRONG, own=True),
    sample("both", OTHER, own=True),
    sample("docstring", OTHER),
    sample("docstring", WRONG),
    sample("docstring", WRONG, own=True),
    sample("own", WRONG),
    sample("own", RIGHT, own=True),  # spells the function as it is
    sample("neither", WRONG),
    {**sample("neither", WRONG, own=True), "text": ""},
    sample("known", WRONG),
    sample("known", OTHER, own=True),
]


def curate(folder, name, samples=SAMPLES, **changes):
    if not (folder / "p").exists():
        (folder / "p").mkdir()
        for split in ("train", "validation", "test"):
            files.write_jsonl(folder / f"p/{split}.jsonl", [])
        (folder / "f").mkdir()
        files.write_jsonl(folder / "f/functions.jsonl", map(function, NAMES))
    files.write_jsonl(folder / "s.jsonl", samples)
    (folder / f"scratch-{name}").mkdir()
    metrics = main(
        Params(**SETTINGS | changes),
        prompts=folder / "p",
        samples=folder / "s.jsonl",
        functions=folder / "f",
        answers=folder / "a",
        problems=folder,
        out=folder / name,
        scratch=folder / f"scratch-{name}",
    )
    parts = ("accepted", "reflect", "rejected")
    return metrics, {
        part: list(files.read_jsonl(folder / name / f"{part}.jsonl")) for part in parts
    }


@pytest.fixture
def curated(tmp_path):
    return curate(tmp_path, "out")


def kept(rows, name):
    """Return origin, whose request, and whether it is marked, of a function's accepted rows."""
    mine = [row for row in rows["accepted"] if row["function"] == f"id-{name}"]
    assert len({row["task"] for row in mine}) == 1
    return {(row["origin"], row["request_by"], row.get("request_checked", False)) for row in mine}


def test_the_teachers_words_are_used_where_an_answer_to_them_passed_else_the_docstring(curated):
    _, rows = curated
    assert kept(rows, "both") == {("teacher", "teacher", False), ("mined", "teacher", True)}
    assert kept(rows, "docstring") == {
        ("teacher", "docstring", False),
        ("mined", "docstring", True),
    }
    assert kept(rows, "own") == {("teacher", "teacher", False)}  # the mined row is its copy
    assert kept(rows, "neither") == {("mined", "docstring", False)}
    assert kept(rows, "silent") == {("mined", "docstring", False)}


def test_words_that_a_benchmark_has_are_not_used_though_they_are_solved(curated):
    _, rows = curated
    assert kept(rows, "known") == {("mined", "docstring", False)}
    found = [row for row in rows["rejected"] if row["reason"] == "contaminated"]
    assert {row["origin"] for row in found} == {"teacher", "mined"}


def test_an_answer_keeps_the_licence_and_the_place_of_its_function(curated):
    _, rows = curated
    (row,) = [
        row
        for row in rows["accepted"]
        if row["origin"] == "teacher" and row["entry_point"] == "own"
    ]
    assert (row["licence"], row["source"], row["teacher"]) == ("licence of own", "lib:own.py", "t")
    assert row["task"] == words("own")


def test_what_is_not_used_is_counted_why_and_all_counts_add_up(curated):
    metrics, rows = curated
    reasons = {key: value for key, value in metrics.items() if key.startswith("rejected_")}
    assert sum(reasons.values()) == len(rows["rejected"])
    assert sum(reasons.values()) + metrics["num_kept"] == metrics["num_in"]
    assert metrics["num_kept"] == len(rows["accepted"])
    assert metrics["kept_mined"] == 5
    assert metrics["kept_teacher"] == 3
    assert metrics["docstrings_asked"] == metrics["own_requests_asked"] == 5
    assert metrics["docstrings_solved"] == metrics["own_requests_solved"] == 2
    assert reasons == {
        "rejected_contaminated": 2,
        "rejected_duplicate": 1,
        "rejected_empty": 1,
        "rejected_other_request": 3,  # of `both` two rows, of `own` one
        "rejected_request_unsolved": 2,  # mined rows of `docstring` and `neither`
        "rejected_tests_failed": 6,
    }


def test_a_fault_is_shown_only_with_an_answer_to_the_same_request_that_passed(curated):
    metrics, rows = curated
    found = {(row["function"], row["request_by"]) for row in rows["reflect"]}
    assert found == {("id-both", "teacher"), ("id-docstring", "docstring")}
    assert metrics["num_reflect"] == len(rows["reflect"]) == 2
    assert {row["fix"] for row in rows["reflect"]} == {
        code("both", OTHER),
        code("docstring", OTHER),
    }


def test_nothing_is_marked_or_counted_where_no_function_was_asked_for(tmp_path):
    metrics, rows = curate(tmp_path, "none", samples=[])
    assert {kept(rows, name).pop() for name in NAMES} == {("mined", "docstring", False)}
    assert not [key for key in metrics if key.startswith(("docstrings", "own_requests"))]


def test_any_number_of_workers_and_any_shards_give_the_same_bytes(curated, tmp_path, monkeypatch):
    metrics, _ = curated
    expected = (tmp_path / "out/accepted.jsonl").read_bytes()
    assert curate(tmp_path, "one", workers=1)[0] == metrics
    monkeypatch.setattr(shards, "SIZE", 3)
    assert curate(tmp_path, "small", workers=3)[0] == metrics
    for name in ("one", "small"):
        assert (tmp_path / name / "accepted.jsonl").read_bytes() == expected
    assert (tmp_path / "one/rejected.jsonl").read_bytes() == (
        tmp_path / "out/rejected.jsonl"
    ).read_bytes()


def test_a_request_is_solved_by_any_answer_in_any_shard(tmp_path):
    folders = []
    for number, is_solved in enumerate((False, True, False)):
        folders.append(tmp_path / str(number))
        folders[-1].mkdir()
        row = {"function": "f", "request_by": "teacher", "solved": is_solved}
        (folders[-1] / solved.FILE).write_text(json.dumps(row) + "\n")
    requests = solved.read(folders)
    assert requests.solved == requests.asked == {("f", "teacher")}
    assert solved.read(folders[:1]).solved == frozenset()
