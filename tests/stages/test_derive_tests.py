"""Mined functions become tasks with tests, or are rejected with one reason; the bytes repeat."""

import pytest
from potstill import files, sandbox
from potstill.errors import InputError
from potstill.testing import derive

from stages.derive_tests import Params, main

SETTINGS = {
    "policy": "edgecoder",
    "max_functions": 9,
    "cpu_s": 1.0,
    "workers": 2,
    "sandbox": "minimum",
}
KEY = "ghp_" + "wWPw5k4aXcaT4fNP0UcnZwJUVFk6LO0pINUx"
CODES = {
    "a1": "def f(x: int):\n    return x * 3 if x > 2 else x - 1",
    "a2": "def f(x):\n    return x.gone",
    "a3": "import os\ndef f(x):\n    return os.getcwd() + x",
    "a4": f"def f(x: str):\n    return x + '{KEY}'",
}
SCRIPT = "function f(text) { return text.split(' ').join('-') + text.length; }"


def function(name, code, language="python"):
    return {
        "id": name,
        "source": "lib:m.py",
        "licence": "MIT",
        "language": language,
        "name": "f",
        "arguments": "text" if language == "javascript" else "x",
        "docstring": "Change it\n  a little.\n\nAt ana.kovac@posta.hr.",
        "code": code,
        "group": "lib:m.py",
    }


@pytest.fixture
def functions(tmp_path):
    rows = [function(name, code) for name, code in CODES.items()]
    rows.append(function("b1", SCRIPT, "javascript"))
    files.write_jsonl(tmp_path / "functions.jsonl", rows)
    return tmp_path / "functions.jsonl"


def run(functions, out, **changes):
    metrics = main(Params(**SETTINGS | changes), functions=functions, out=out)
    found = [list(files.read_jsonl(out / name)) for name in (derive.FUNCTIONS, derive.REJECTED)]
    return metrics, *found


def test_what_gets_tests_is_a_task_whose_reference_passes_them(functions, tmp_path):
    metrics, tested, _ = run(functions, tmp_path / "out")
    assert [row["id"] for row in tested] == ["a1", "b1"]
    assert metrics["num_tested"] == 2
    assert metrics["tested_python"] == metrics["tested_javascript"] == 1
    for row in tested:
        assert row["task"] == f"Write a function f({row['arguments']}). Change it a little."
        assert (row["licence"], row["source"], row["level"]) == ("MIT", "lib:m.py", 0)
        ran = sandbox.run(row["language"], row["reference"], tests=row["tests"], entry_point="f")
        assert ran.ok


def test_every_function_is_tested_or_has_a_reason_and_the_counts_add_up(functions, tmp_path):
    metrics, tested, rejected = run(functions, tmp_path / "out")
    why = {row["id"]: row["reason"] for row in rejected}
    assert why == {"a2": "no_inputs", "a3": "subset_pattern", "a4": "secret"}
    counts = sum(value for key, value in metrics.items() if key.startswith("rejected_"))
    assert counts + metrics["num_tested"] == metrics["num_in"] == len(tested) + len(rejected) == 5
    assert KEY not in str(rejected)


def test_what_is_beyond_the_limit_is_not_tried_and_nothing_is_executed_at_none(functions, tmp_path):
    _, tested, rejected = run(functions, tmp_path / "one", max_functions=1)
    assert [row["id"] for row in tested] == ["a1", "b1"]
    assert {row["id"]: row["reason"] for row in rejected}["a2"] == "not_tried"
    metrics, tested, _ = run(functions, tmp_path / "none", max_functions=0)
    assert tested == []
    assert metrics["rejected_not_tried"] == 3


def test_a_function_that_two_places_have_is_taken_from_the_first(functions, tmp_path):
    rows = list(files.read_jsonl(functions))
    files.write_jsonl(functions, [*rows, rows[0] | {"licence": "other"}])
    metrics, tested, rejected = run(functions, tmp_path / "out")
    assert [row["licence"] for row in tested] == ["MIT", "MIT"]
    assert rejected[-1]["reason"] == "duplicate"
    assert metrics["num_in"] == 6


def test_any_number_of_workers_gives_the_same_bytes(functions, tmp_path):
    run(functions, tmp_path / "one", workers=1)
    run(functions, tmp_path / "two", workers=4)
    for name in (derive.FUNCTIONS, derive.REJECTED):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_no_functions_and_what_is_none(tmp_path):
    files.write_jsonl(tmp_path / "functions.jsonl", [])
    metrics, tested, rejected = run(tmp_path / "functions.jsonl", tmp_path / "out")
    assert (metrics, tested, rejected) == ({"num_in": 0, "num_tested": 0}, [], [])
    files.write_jsonl(tmp_path / "functions.jsonl", [{"id": "x"}])
    with pytest.raises(InputError, match=r"functions\.jsonl line 1"):
        run(tmp_path / "functions.jsonl", tmp_path / "other")
