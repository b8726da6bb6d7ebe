"""Scoring: real answers through the runtime, judged in the sandbox; an oracle model scores one."""

import signal
import subprocess
import sys
import textwrap

import pytest
from potstill import files, katas, runtime
from potstill.errors import InputError
from potstill.evaluate import code, grader, scoring
from potstill.export import build
from potstill.models.chat import ChatTokenizer
from potstill.params import build as build_params
from potstill.runtime import artifact
from potstill.tasks import TASKS, Where

from stages import score
from tests.tasks.conftest import HUMANEVAL_JS, MBPP, write
from tests.tiny_project import environment

SETTINGS = {
    "sources": {},
    "split": "test",
    "samples": 1,
    "temperature": 0.0,
    "max_tokens": {"katas": 8, "humaneval": 8},
    "context": 448,
    "policy": "edgecoder",
    "cpu_s": 2.0,
    "sandbox": "minimum",
    "threads": 1,
    "seed": 0,
}
LONG = 1 << 14  # tokens: what problems for large models need of the tiny tokenizer


PATHS = {"artefact": "a", "prompts": "p", "problems": "problems", "teacher": "t"}


@pytest.fixture
def inputs(tiny_llama, tmp_path):
    build.build(tiny_llama, tmp_path / "a", format="gguf", quantisation="f16")
    (tmp_path / "p").mkdir()
    rows = katas.instances(0, 1, ["python", "javascript"])[:40]
    files.write_jsonl(tmp_path / "p/test.jsonl", rows)
    (tmp_path / "problems").mkdir()
    return {name: tmp_path / path for name, path in PATHS.items()}


def run(inputs, out, **changes):
    params = score.Params(**({"katas": 6} | SETTINGS | changes))
    scratch = out.with_suffix(".scratch")
    scratch.mkdir(exist_ok=True)
    metrics = score.main(params, **inputs, out=out, scratch=scratch)
    return metrics, list(files.read_jsonl(out))


class Oracle:
    """A runtime that answers every prompt by a function; nothing else is replaced."""

    def __init__(self, artefact, problems, answer):
        tokenizer = ChatTokenizer(artefact)
        self.answers = {
            tuple(tokenizer.encode(tokenizer.render(item.messages))): answer(item)
            for item in problems
        }

    def generate(self, requests, *, done=None):
        for place, request in enumerate(requests):
            text, finish = self.answers[tuple(request.prompt)]
            done(place, runtime.Answer([], text, finish))

    def close(self):
        pass


def use(monkeypatch, inputs, problems, answer):
    """Let a function answer; the tiny tokenizer's long prompts need more context than its model."""
    path = inputs["artefact"] / artifact.NAME
    files.write_json(path, files.read_json(path) | {"context": LONG})
    oracle = Oracle(inputs["artefact"], problems, answer)
    monkeypatch.setattr(runtime, "load", lambda *_, **__: oracle)


def kata_problems(inputs):
    return TASKS["katas"].problems(Where(prompts=inputs["prompts"]))


def test_a_random_model_is_scored_and_solves_nothing(inputs, tmp_path):
    found = run(inputs, tmp_path / "s.jsonl", humaneval=2)
    metrics, rows = found
    assert (metrics["katas.n"], metrics["humaneval.n"]) == (6, 2)
    assert len(rows) == 8
    assert all(row["reason"] and not row["passed"] for row in rows)
    assert run(inputs, tmp_path / "t.jsonl", humaneval=2) == found
    # noise goes on for ever: eight tokens say nothing of it
    assert metrics["katas.verdict"] == "not-run"


def test_a_task_of_every_method_is_scored_and_repeats(inputs, tmp_path):
    asked = {"katas": 1, "formats": 3, "plans": 2, "likelihood": 4, "agent": 2, "divergence": 2}
    caps = dict.fromkeys(("katas", "formats", "plans", "agent"), 8)
    found = run(inputs, tmp_path / "s.jsonl", **asked, max_tokens=caps)
    metrics, rows = found
    assert {name: metrics[f"{name}.n"] for name in asked} == asked | {"divergence": 0}
    assert len(rows) == sum(asked.values()) - 2
    assert metrics["likelihood.verdict"] == "run"
    assert metrics["likelihood.perplexity"] > 1
    assert metrics["divergence.reason"].endswith("is missing: run record_reference")
    assert run(inputs, tmp_path / "t.jsonl", **asked, max_tokens=caps) == found


def test_the_references_score_one(inputs, tmp_path, monkeypatch):
    use(
        monkeypatch,
        inputs,
        kata_problems(inputs),
        lambda p: (f"```\n{p.reference}\n```", "stop_id"),
    )
    metrics, rows = run(inputs, tmp_path / "s.jsonl", katas=40, max_tokens={})
    assert metrics["katas.verdict"] == "run"
    assert metrics["katas.pass_at_1"] == metrics["katas.inside_subset"] == 1
    assert metrics["katas.malformed"] == metrics["katas.hit_limit"] == 0
    assert (metrics["katas.problems"], metrics["katas.split"]) == (40, "test")
    longest = max(len(row["code"]) for row in rows)
    assert metrics["katas.max_tokens"] >= longest / 4
    assert {row["sample"] for row in rows} == {0}


def test_a_fence_that_was_never_opened_is_malformed_and_passes_the_lenient_score(
    inputs, tmp_path, monkeypatch
):
    use(
        monkeypatch,
        inputs,
        kata_problems(inputs),
        lambda p: (f"{p.reference}\n```\nIt is.", "stop_id"),
    )
    metrics, rows = run(inputs, tmp_path / "s.jsonl", katas=10)
    assert metrics["katas.pass_at_1"] == 0
    assert metrics["katas.pass_at_1_lenient"] == metrics["katas.malformed"] == 1
    assert all(row["malformed"] and row["lenient_passed"] for row in rows)


def test_cut_answers_are_no_score_and_loops_are(inputs, tmp_path, monkeypatch):
    problems = kata_problems(inputs)
    use(monkeypatch, inputs, problems, lambda p: (p.reference[:-9], "length"))
    metrics, rows = run(inputs, tmp_path / "s.jsonl", katas=10)
    assert (metrics["katas.verdict"], metrics["katas.hit_limit"]) == ("not-run", 1)
    assert "katas.pass_at_1" not in metrics
    assert all(row["hit_limit"] for row in rows)
    use(monkeypatch, inputs, problems, lambda _: ("x = 1\n" * 60, "length"))
    metrics, _ = run(inputs, tmp_path / "t.jsonl", katas=10)
    assert (metrics["katas.verdict"], metrics["katas.repeats"]) == ("run", 1)
    use(monkeypatch, inputs, problems, lambda p: (f"```\n{p.reference}\n```\nSo", "length"))
    metrics, _ = run(inputs, tmp_path / "u.jsonl", katas=10)
    assert (metrics["katas.pass_at_1"], metrics["katas.hit_limit"]) == (1, 0)


def test_edgecoder_counts_only_what_is_inside(inputs, tmp_path, monkeypatch):
    paths = {
        "mbpp": write(inputs["problems"] / "mbpp.jsonl", MBPP),
        "humaneval_js": write(inputs["problems"] / "js.jsonl", HUMANEVAL_JS),
    }
    sources = {"mbpp": "mbpp.jsonl", "humaneval_js": "js.jsonl"}
    problems = TASKS["edgecoder"].problems(Where(paths))
    outside = {"python": "import math\n", "javascript": "class A {}\n"}
    use(monkeypatch, inputs, problems, lambda p: (outside[p.language] + p.reference, "stop_id"))
    how = {"katas": 0, "edgecoder": 200, "sources": sources, "context": LONG}
    metrics, rows = run(inputs, tmp_path / "s.jsonl", **how)
    assert metrics["edgecoder.pass_at_1"] == metrics["edgecoder.pass_at_1_lenient"] == 0
    assert {row["reason"] for row in rows} == {"outside the subset"}
    assert metrics["edgecoder.problems"] == len(problems)
    assert len(metrics["edgecoder.list_sha256"]) == 16
    use(monkeypatch, inputs, problems, lambda p: (p.reference, "stop_id"))
    metrics, _ = run(inputs, tmp_path / "t.jsonl", **how)
    assert metrics["edgecoder.pass_at_1"] == 1


def test_a_task_whose_file_is_missing_is_not_run_and_says_why(inputs, tmp_path):
    metrics, rows = run(inputs, tmp_path / "s.jsonl", katas=0, mbpp=4, sources={"mbpp": "no"})
    assert (metrics["mbpp.verdict"], metrics["mbpp.n"], rows) == ("not-run", 0, [])
    assert "problems/no is missing" in metrics["mbpp.reason"]
    assert metrics["katas.reason"] == "no problems were tried"
    metrics, _ = run(inputs, tmp_path / "t.jsonl", katas=0, humaneval=2, split="validation")
    assert metrics["humaneval.reason"] == "humaneval has no split validation, only test"
    assert "validation.jsonl is missing" in metrics["katas.reason"]


def test_several_samples_differ_and_repeat(inputs, tmp_path):
    changes = {"katas": 3, "samples": 4, "temperature": 1.5}
    metrics, rows = run(inputs, tmp_path / "s.jsonl", **changes)
    assert (metrics["katas.n"], metrics["katas.problems"]) == (12, 3)
    assert len({row["code"] for row in rows}) > 6
    assert run(inputs, tmp_path / "t.jsonl", **changes)[1] == rows


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"humanevl": 3}, r"a\.tasks: unknown task 'humanevl'; .*did you mean humaneval"),
        ({"katas": -1}, "-1"),
        ({"katas": "all"}, "'all'"),
        ({"samples": 3}, "samples is 3 at temperature 0"),
        ({"max_tokens": {"kata": 3}}, "unknown task 'kata'"),
        ({"sources": {"mbp": "x"}}, "unknown task 'mbp'"),
        (
            {"sources": {"mbpp": "/data/m.jsonl"}},
            r"must lie in the folder problems.*mbpp: m\.jsonl",
        ),
        ({"sources": {"mbpp": "../m.jsonl"}}, "must lie in the folder problems"),
    ],
)
def test_wrong_settings_are_one_line(sections, message):
    own = {key: value for key, value in sections.items() if key not in SETTINGS}
    shared = SETTINGS | {key: value for key, value in sections.items() if key in SETTINGS}
    tree = {
        "seed": 0,
        "scoring": {k: v for k, v in shared.items() if k != "seed"},
        "a": {"tasks": own},
    }
    with pytest.raises(InputError, match=message) as caught:
        build_params(score.Params, tree, "scoring", "a.tasks")
    assert "\n" not in str(caught.value)


KILLED = """
import os, signal, sys
from pathlib import Path
from potstill.evaluate import grader
from stages import score
from tests.stages.test_score import PATHS, SETTINGS

write = grader.os.fsync
count = 0

def fsync(descriptor):
    global count
    write(descriptor)
    count += 1
    if count == 5:
        os.kill(os.getpid(), signal.SIGKILL)

grader.os.fsync = fsync
folder = Path(sys.argv[1])
params = score.Params(katas=12, **SETTINGS)
paths = {**PATHS, "out": "o", "scratch": "x"}
score.main(params, **{flag: folder / name for flag, name in paths.items()})
"""


def test_a_killed_scoring_repeats_no_finished_answer(inputs, tmp_path, monkeypatch):
    scratch = tmp_path / "x"
    scratch.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path)],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    path = scratch / "rows.jsonl"
    finished = [(row["task"], row["id"], row["sample"]) for row in files.read_jsonl(path)]
    assert 5 <= len(finished) < 12
    with path.open("a") as file:
        file.write('{"id": "torn')  # as a kill between two pages leaves it
    graded = []
    original = grader.Grader.take

    def take(self, problem, sample, answer, judge):
        graded.append((problem.task, problem.id, sample))
        original(self, problem, sample, answer, judge)

    monkeypatch.setattr(grader.Grader, "take", take)
    params = score.Params(katas=12, **SETTINGS)
    metrics = score.main(params, **inputs, out=tmp_path / "o", scratch=scratch)
    assert len(graded) == 12 - len(finished)
    assert not set(graded) & set(finished)
    monkeypatch.undo()
    undisturbed = run(inputs, tmp_path / "s.jsonl", katas=12)
    assert (metrics, list(files.read_jsonl(tmp_path / "o"))) == undisturbed


def test_a_failure_of_the_sandbox_is_an_error_and_no_score(inputs, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise InputError("the sandbox lacks everything")

    monkeypatch.setattr(code.sandbox, "run_many", refuse)
    with pytest.raises(InputError, match="lacks everything"):
        run(inputs, tmp_path / "s.jsonl")
    assert not (tmp_path / "s.jsonl").exists()


def test_the_cap_leaves_room_above_the_references(inputs):
    problems = kata_problems(inputs)
    tokenizer = ChatTokenizer(inputs["artefact"])
    lengths = [len(tokenizer.encode(problem.reference)) for problem in problems]
    assert max(lengths) < scoring.cap_tokens(tokenizer, problems) < 2.5 * max(lengths)


def test_scoring_needs_no_torch():
    source = "import sys, potstill.evaluate.rates, potstill.tasks; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", source],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"
