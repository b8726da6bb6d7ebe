"""The own tools really run: what a row says that they returned is what they return."""

import json

import pytest
from potstill import files, katas, sandbox, splits, subset
from potstill.data import tool_formats, tools

from stages.collect_tools import Params, main

SETTINGS = {
    "bfcl": None,
    "max_tasks": 4,
    "policy": "edgecoder",
    "cpu_s": 2.0,
    "workers": 2,
    "sandbox": "minimum",
}


@pytest.fixture
def prompts(tmp_path):
    folder = tmp_path / "prompts"
    folder.mkdir()
    rows = katas.instances(0, 1, ["python", "javascript"])
    for name in splits.SPLITS:
        mine = [row for row in rows if splits.split(row["family"]) == name]
        files.write_jsonl(folder / f"{name}.jsonl", mine[:16])
    return folder


def collect(prompts, out, **changes):
    metrics = main(Params(**(SETTINGS | changes)), prompts=prompts, out=out)
    rows = list(files.read_jsonl(out / "rows.jsonl"))
    results = [row["key"] for row in files.read_jsonl(out / "results.jsonl")]
    return metrics, rows, results


def test_results_are_what_the_tools_return(prompts, tmp_path):
    pytest.importorskip("jsonschema")
    metrics, rows, results = collect(prompts, tmp_path / "out", max_tasks=9)
    called = [row for row in rows if tools.calls(row)]
    assert metrics == {"rows_call": len(called), "rows_direct": len(rows) - len(called)}
    assert {splits.split(row["group"]) for row in rows} == set(splits.SPLITS)
    verdicts = set()
    for row in called:
        _, call, result, answer = row["messages"]
        function = call["tool_calls"][0]["function"]
        code = function["arguments"]["code"]
        assert tools.key(function, result["content"]) in results
        if function["name"] == "run_python":
            assert sandbox.run("python", code).stdout.strip() == result["content"]
            assert answer["content"].endswith(f" returns {result['content']}.")
        else:
            said = json.loads(result["content"])
            verdict = subset.check("python", code, "edgecoder")
            verdicts.add(said["supported"])
            assert said["supported"] is verdict.supported
            assert verdict.supported or said["reason"] == verdict.reasons[0].message
    assert verdicts == {True, False}
    for row in rows:
        for name in ("fenced_json", "hermes", "qwen3_coder"):
            tool_formats.from_native(row, name)


def test_the_same_inputs_give_the_same_bytes(prompts, tmp_path):
    pytest.importorskip("jsonschema")
    collect(prompts, tmp_path / "a")
    collect(prompts, tmp_path / "b", workers=1)
    assert files.sha256_tree(tmp_path / "a") == files.sha256_tree(tmp_path / "b")


def test_by_default_nothing_is_made(prompts, tmp_path):
    metrics, rows, results = collect(prompts, tmp_path / "out", max_tasks=0)
    assert metrics == {"rows_call": 0, "rows_direct": 0}
    assert rows == results == []
