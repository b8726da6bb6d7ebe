"""Mined functions asked for in two ways: what is asked, in whose words, and never twice.

The teacher is an endpoint that answers by a rule; a tiny model answers in
tests/stages/test_sample_teacher.py, a real server in the same file.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from potstill import files, splits
from pydantic import ValidationError

from stages.sample_teacher import Params, main
from tests.sampling import scripted

SETTINGS = {
    "teachers": [],
    "backend": "llama_cpp",
    "round": None,
    "max_rows": 1,
    "mined": {"max_functions": 9, "back_translate": True},
    "samples": 1,
    "max_tokens": 64,
    "temperature": 0.0,
    "max_length_share": 1.0,
    "batch_rows": 1,
    "threads": 1,
    "seed": 0,
}
TRAIN = [name for name in map(str, range(99)) if splits.split(name) == "train"]
HELD = next(name for name in map(str, range(99)) if splits.split(name) != "train")
WORDS = "It takes a number, and returns one."
SECRET = "x * 3 - 41 + len(str(x))"  # of the code: in no prompt that asks for code


def function(name, group):
    code = f"def {name}(x):\n    return {SECRET}"
    return {
        "id": name,
        "name": name,
        "arguments": "x",
        "language": "python",
        "level": 0,
        "group": group,
        "code": code,
        "task": f"Write a function {name}(x). As the old one.",
    }


def answer(text):
    """Return words where code is shown; none for one, code for another; else code."""
    if SECRET not in text:
        return "```python\ndef f(x):\n    return x\n```"
    if "mute(x)" in text:
        return ""
    return f"It returns {SECRET}." if "leaky(x)" in text else WORDS


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("prompts", "functions"):
        (tmp_path / name).mkdir()
    task = {"id": "t", "task": "Do it.", "language": "python", "level": 1}
    files.write_jsonl(tmp_path / "prompts/train.jsonl", [task])
    names = ["good", "mute", "leaky", "other"]
    rows = [function(name, group) for name, group in zip(names, TRAIN, strict=False)]
    rows.append(function("held", HELD))
    files.write_jsonl(tmp_path / "functions/functions.jsonl", rows)
    return tmp_path


def params(url, **changes):
    at = {"url": url, "model": "m", "concurrency": 1} | changes.pop("at", {})
    return Params(**SETTINGS | {"teachers": [{"endpoint": at}]} | changes)


def sample(folder, url, **changes):
    where = {name: folder / name for name in ("prompts", "functions")}
    where |= dict.fromkeys(("teacher", "models", "rounds"), folder)
    metrics = main(params(url, **changes), out=folder / "out.jsonl", **where)
    return metrics, list(files.read_jsonl(folder / "out.jsonl"))


def test_each_function_of_training_is_asked_for_by_its_docstring_and_in_the_teachers_words(folder):
    with scripted.endpoint(answer) as (url, seen):
        metrics, rows = sample(folder, url)
    own = [row for row in rows if "request" in row]
    assert {row["id"] for row in own} == {"good", "other"}
    plain = {row["id"] for row in rows if "request" not in row}
    assert plain == {"t", "good", "mute", "leaky", "other"}
    assert metrics["requests_written"] == 2
    assert metrics["requests_empty"] == metrics["requests_shows_code"] == 1
    assert metrics["answers"] == len(rows) == 7
    assert metrics["not_asked"] == 0
    assert metrics["prompt_tokens"] == 10 * len(seen) == 10 * 11
    for row in own:
        assert (
            row["request"]
            == f"Write a function {row['id']}(x). It takes a number, and returns one."
        )
        assert row["request"] in row["messages"][-1]["content"]
    assert all(SECRET not in str(row["messages"]) for row in rows)
    assert not any("held" in text for text in seen)


def test_without_functions_or_words_nothing_more_is_asked(folder):
    with scripted.endpoint(answer) as (url, seen):
        none = {"max_functions": 0, "back_translate": True}
        assert sample(folder, url, mined=none)[0]["answers"] == len(seen) == 1
        plain = {"max_functions": 2, "back_translate": False}
        assert sample(folder, url, mined=plain)[0]["answers"] == 3
        assert not any(SECRET in text for text in seen)
        some = {text for text in seen if "old one" in text}
        sample(folder, url, mined=plain | {"max_functions": 3})
        assert len(seen) == 4  # the fewer are among the more, and were asked before
        assert len(some) == 2
    for wrong in ({"max_functions": -1, "back_translate": True}, {"max_functions": 1}):
        with pytest.raises(ValidationError):
            params(url, mined=wrong)


def test_nothing_is_asked_twice_and_each_request_gets_its_samples(folder):
    with scripted.endpoint(answer) as (url, seen):
        how = {"samples": 3, "temperature": 1.0}
        metrics, rows = sample(folder, url, **how)
        before = len(seen)
        assert before == 3 * 5 + 4 + 3 * 2
        assert [row["sample"] for row in rows if row.get("request")] == [0, 0, 1, 1, 2, 2]
        assert sample(folder, url, **how) == (metrics, rows)
        assert len(seen) == before


def test_a_budget_is_one_for_both_kinds_of_requests(folder):
    with scripted.endpoint(answer) as (url, seen):
        price = {"price_input": 0.0, "price_output": 1e6, "max_cost": 50.0 + 64}
        metrics, _ = sample(folder, url, at=price)
        assert metrics["cost"] <= 50 + 64
        assert len(seen) == 11  # 5 a request and at most 64: the eleventh has just room
        files.remove(folder / ".potstill")
        metrics, rows = sample(folder, url, at=price | {"max_cost": 45.0 + 64})
        assert len(rows) == 6
        assert metrics["not_asked"] == 1


def test_after_a_kill_only_what_is_missing_is_asked(folder):
    code = (
        "import sys; from pathlib import Path\n"
        "from stages.sample_teacher import Params, main\n"
        "here = Path()\n"
        "main(Params.model_validate_json(sys.argv[1]), teacher=here, models=here, rounds=here, "
        "prompts=Path('prompts'), functions=Path('functions'), out=Path('out.jsonl'))"
    )
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    with scripted.endpoint(answer, hang_after=10) as (url, seen):  # in the second round of asking
        command = [sys.executable, "-c", code, params(url).model_dump_json()]
        child = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})
        deadline = time.monotonic() + 60
        while len(seen) < 11 and time.monotonic() < deadline:
            time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert len(seen) == 11
    kept = [
        json.loads(line)
        for file in (folder / ".potstill/answers").glob("*.jsonl")
        for line in file.read_text().splitlines()
    ]
    assert len(kept) == 10
    port = int(url.split(":")[2].split("/")[0])
    with scripted.endpoint(answer, port=port) as (again, seen):
        assert again == url
        metrics, rows = sample(folder, url)
        assert len(seen) == 1
    assert metrics["answers"] == len(rows) == 7
