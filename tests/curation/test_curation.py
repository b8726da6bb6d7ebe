"""Any number of processes and any kill leave the same bytes; what is finished is not done again."""

import importlib.util
import json
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from potstill import katas, sandbox
from potstill.curation import choice, contamination, curation, shards
from potstill.errors import InputError
from potstill.testing.execution import Execution

HAS_RAY = importlib.util.find_spec("ray") is not None
OUTPUTS = [f"{name}.jsonl" for name in choice.OUTPUTS]


def candidates():
    """Return references of the katas in both languages, with copies, near copies and mined rows."""
    rows = [
        {**row, "origin": "reference", "code": row["reference"], "group": row["family"]}
        for row in katas.instances(0, 1, ["python", "javascript"])[::9]
    ]
    copies = [{**row, "id": f"{row['id']}c"} for row in rows[::7]]
    near = [
        {**row, "id": f"{row['id']}n", "group": "elsewhere", "task": row["task"] + " Now."}
        for row in rows[::5]
    ]
    mined = [
        {
            "id": f"m{number}", "origin": "mined", "licence": "MIT", "language": language,
            "group": f"module{number}", "task": f"Write {number * 'very '} good code.", "plan": [],
            "code": code.format(number), "entry_point": "f",
            "tests": [{"args": args, "expected": 7}],
        }
        for number in range(4)
        for language, code, args in (
            ("python", "def f(x: int):\n    return x * {} + 7", [0]),
            ("javascript", "function f(x) {{ return {} + x; }}", [4]),
        )
    ]  # fmt: skip
    return [*rows, *near, *copies, *mined]


def curate(out, scratch, workers, rows=None, engine="local"):
    scratch.mkdir(exist_ok=True)
    return curation.curate(
        iter(candidates() if rows is None else rows),
        rules=shards.Rules("edgecoder", 700, ["en"], contamination.Benchmarks({}, 12, 0.8)),
        heldout=[{"id": "h", "task": "t", "reference": None, "family": "h"}],
        settings=curation.Settings(
            near_duplicate=0.7,
            min_quality=0.0,
            answers_per_task=2,
            max_answer_ratio=2.0,
            engine=engine,
        ),
        execution=Execution(sandbox.Limits(cpu_s=2.0), workers, "minimum"),
        out=out,
        scratch=scratch,
    )


def texts(folder):
    return [(folder / name).read_bytes() for name in OUTPUTS]


@pytest.fixture
def whole(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "SIZE", 16)
    return curate(tmp_path / "one", tmp_path / "s1", 1), texts(tmp_path / "one")


def test_any_number_of_processes_and_a_second_run_give_the_same_bytes(whole, tmp_path):
    counts, expected = whole
    assert (
        counts["num_in"]
        == len(candidates())
        == counts["num_kept"]
        + sum(value for key, value in counts.items() if key.startswith("rejected_"))
    )
    assert counts["rejected_duplicate"] > 2
    assert counts["rejected_near_duplicate"] > 2
    assert counts["kept_mined"] == 5
    assert counts["rejected_tests_failed"] == 3
    assert curate(tmp_path / "two", tmp_path / "s2", 2) == counts
    assert texts(tmp_path / "two") == expected
    # what is there is taken: no row is judged, none is executed
    shards_made = {path: path.stat().st_mtime_ns for path in (tmp_path / "s2").rglob("*")}
    assert curate(tmp_path / "again", tmp_path / "s2", 2) == counts
    assert texts(tmp_path / "again") == expected
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "s2").rglob("*")} == shards_made


def test_without_ray_its_engine_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"potstill\[ray\]"):
        curate(tmp_path / "ray", tmp_path / "s5", 2, engine="ray")


@pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed: pip install 'potstill[ray]'")
def test_a_local_ray_of_two_workers_gives_the_same_bytes(whole, tmp_path):
    counts, expected = whole
    assert curate(tmp_path / "ray", tmp_path / "s6", 2, engine="ray") == counts
    assert texts(tmp_path / "ray") == expected


def test_the_size_of_a_shard_changes_the_order_of_rejections_alone(whole, tmp_path, monkeypatch):
    counts, expected = whole
    monkeypatch.setattr(shards, "SIZE", 7)
    assert curate(tmp_path / "small", tmp_path / "s3", 1) == counts
    found = texts(tmp_path / "small")
    assert found[:2] == expected[:2]
    assert sorted(found[2].splitlines()) == sorted(expected[2].splitlines())


def _killed(out, scratch):
    shards.SIZE = 16
    curate(Path(out), Path(scratch), 2)


def test_a_killed_run_goes_on(whole, tmp_path):
    counts, expected = whole
    run = multiprocessing.get_context("spawn").Process(
        target=_killed, args=(str(tmp_path / "x"), str(tmp_path / "s4"))
    )
    run.start()
    deadline = time.monotonic() + 120
    while not list((tmp_path / "s4").glob("settled-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(run.pid, signal.SIGKILL)
    run.join()
    made = list((tmp_path / "s4").glob("settled-*"))
    assert made
    assert curate(tmp_path / "on", tmp_path / "s4", 1) == counts
    assert texts(tmp_path / "on") == expected


def test_no_rows(tmp_path):
    assert curate(tmp_path / "none", tmp_path / "s", 2, []) == {
        "num_in": 0,
        "num_kept": 0,
        "num_reflect": 0,
    }
    assert texts(tmp_path / "none") == [b""] * 3


def test_a_repeated_row_names_the_first(whole):
    _, (_, _, rejected) = whole
    rows = [json.loads(line) for line in rejected.splitlines()]
    known = {row["id"] for row in candidates()}
    near = [row for row in rows if row["reason"] == "near_duplicate"]
    assert all(row["detail"] in known - {row["id"]} for row in near)
