"""The agent's loop: EdgeCoder's rules by a script, its words from the real sandbox, and a real run.

Only what the model says is scripted; programs really run, and fail in the executor's own words.
"""

import json
import signal
import subprocess
import sys
import textwrap

import pytest
from potstill.evaluate import loop
from potstill.tasks import TASKS, Where

from tests.tiny_project import environment

PLAN, FAILED = "Write a short plan", "code failed."
BROKEN = {
    "python": "def {}(*args):\n    return missing_name",
    "javascript": "function {}() {{\n  return missingName;\n}}",
}
WRONG = {
    "python": "def {}(*args):\n    return 'no'",
    "javascript": "function {}() {{ return 'no' }}",
}
SLOW = {
    "python": "def {}(*args):\n    while True:\n        pass",
    "javascript": "function {}() {{\n  while (true) {{}}\n}}",
}
OUTSIDE = {
    "python": "import os\ndef {}(*args):\n    return 1",
    "javascript": "function {}() {{ return eval('1'); }}",
}


def turns(bench, first, later=None, plan="1. Think.\n2. Return."):
    """Return a script: `first` and `later` are templates by language, None the reference."""
    known = {item.request: item for item in TASKS["agent"].problems(Where(prompts=bench.prompts))}

    def say(prompt):
        if PLAN in prompt:
            return plan
        item = next(item for text, item in known.items() if f"Task: {text}\n" in prompt
                    or f"Task: {text}<" in prompt)  # fmt: skip
        template = later if FAILED in prompt else first
        language = "javascript" if "JavaScript" in prompt else "python"
        item = next(i for i in TASKS["agent"].problems(Where(prompts=bench.prompts))
                    if i.request == item.request and i.language == language)  # fmt: skip
        return template[language].format(item.entry_point) if template else item.reference

    return say


def test_right_code_takes_one_iteration(bench):
    metrics, rows = bench.score({"agent": 10}, turns(bench, None))
    assert metrics["agent.verdict"] == "run"
    assert metrics["agent.solved"] == 1
    assert metrics["agent.escalated"] == 0
    assert metrics["agent.iterations"] == metrics["agent.iterations_solved"] == 1
    assert metrics["agent.iterations.high"] > 1  # all alike is not certain
    assert metrics["agent.iterations.unit"] == "iterations"
    assert {row["iterations"] for row in rows} == {1}
    assert len(bench.runtime.prompts) == 20  # a plan and code for each


def test_a_run_that_fails_is_mended_with_the_executors_words(bench):
    metrics, rows = bench.score({"agent": 10}, turns(bench, BROKEN, None))
    assert metrics["agent.solved"] == 1
    assert metrics["agent.iterations"] == metrics["agent.iterations_solved"] == 2
    mended = [prompt for prompt in bench.runtime.prompts if FAILED in prompt]
    assert len(mended) == 10
    words = {"NameError: name 'missing_name' is not defined",
             "ReferenceError: missingName is not defined"}  # fmt: skip
    said = {prompt.partition("\n\nError:\n")[2].partition("<|im_end|>")[0] for prompt in mended}
    assert said == words
    assert all("return missing" in prompt for prompt in mended)
    assert not any(row["escalated"] for row in rows)


def test_after_three_iterations_it_is_handed_over(bench):
    metrics, rows = bench.score({"agent": 6}, turns(bench, BROKEN, BROKEN))
    assert metrics["agent.solved"] == 0
    assert metrics["agent.escalated"] == 1
    assert metrics["agent.escalated_max_iterations_exhausted"] == 6
    assert metrics["agent.iterations"] == loop.MOST_ITERATIONS == 3
    assert "agent.iterations_solved" not in metrics  # a mean of nothing
    assert len(bench.runtime.prompts) == 6 * 4
    assert {row["escalation"] for row in rows} == {"max_iterations_exhausted"}


@pytest.mark.parametrize(("code", "why"), [(OUTSIDE, "outside_subset"), (SLOW, "timeout")])
def test_outside_the_subset_or_out_of_time_it_is_handed_over_at_once(bench, code, why):
    metrics, rows = bench.score({"agent": 3}, turns(bench, code, None), cpu_s=0.3)
    assert metrics["agent.escalated"] == 1
    assert metrics[f"agent.escalated_{why}"] == 3
    assert metrics["agent.iterations"] == 1
    assert not any(FAILED in prompt for prompt in bench.runtime.prompts)
    assert all(row["reason"] for row in rows)


def test_a_mended_program_may_leave_the_subset(bench):
    _, rows = bench.score({"agent": 4}, turns(bench, BROKEN, OUTSIDE))
    assert {(row["escalation"], row["iterations"]) for row in rows} == {("outside_subset", 2)}


def test_wrong_values_are_delivered_for_nobody_tells_the_agent(bench):
    metrics, rows = bench.score({"agent": 6}, turns(bench, WRONG, None))
    assert metrics["agent.solved"] == metrics["agent.escalated"] == 0
    assert metrics["agent.iterations"] == 1
    assert all(row["reason"].endswith("tests passed") for row in rows)


def test_the_plan_is_shown_as_steps_and_what_is_none_as_it_came(bench):
    for plan, shown in (
        ("1. Think.\n2. Return.", "Plan:\n1. Think.\n2. Return.<"),
        ("Sure:\n1. Think.\nOk", "Plan:\n1. Think.<"),
        ("Think\n\n Return", "Plan:\n1. Think\n2. Return<"),
        ("", ""),
    ):
        bench.score({"agent": 2}, turns(bench, None, plan=plan))
        asked = [prompt for prompt in bench.runtime.prompts if PLAN not in prompt]
        assert all(shown in prompt and ("Plan:" in prompt) == bool(plan) for prompt in asked)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("", "run"), ("\0", "run"), ("```\n" * 20, "run"), ("x = 1\n" * 150_000, "not-run")],
)
def test_hostile_answers_end_the_episode(bench, text, verdict):
    metrics, rows = bench.score({"agent": 3}, lambda _: text)
    assert metrics["agent.verdict"] == verdict  # a plan beyond the context is no score
    assert not any(row["passed"] for row in rows)
    assert len(rows) == metrics["agent.n"] == 3
    json.dumps(rows, allow_nan=False)


def test_a_prompt_beyond_the_context_is_the_settings_fault_and_no_score(bench):
    say = turns(bench, BROKEN)
    metrics, rows = bench.score({"agent": 3}, lambda p: "word " * 900 if PLAN in p else say(p))
    assert {row["escalation"] for row in rows} == {"model_limit"}
    assert metrics["agent.verdict"] == "not-run"


def test_answers_that_are_cut_off_are_no_score(bench):
    metrics, _ = bench.score({"agent": 3}, lambda _: ("def f(x):\n    return (x", "length"))
    assert (metrics["agent.verdict"], metrics["agent.hit_limit"]) == ("not-run", 1)
    assert "agent.solved" not in metrics


def test_a_real_run_repeats(bench):
    settings = {"max_tokens": {"agent": 12}}
    metrics, rows = bench.score({"agent": 5}, **settings)
    assert len(rows) == 5
    assert all(row["iterations"] >= 1 and not row["passed"] for row in rows)
    assert bench.score({"agent": 5}, **settings) == (metrics, rows)


def test_several_samples_are_several_episodes(bench):
    changes = {"samples": 3, "temperature": 1.5, "max_tokens": {"agent": 12}}
    _, rows = bench.score({"agent": 2}, **changes)
    assert [row["sample"] for row in rows] == [0, 1, 2] * 2
    assert len({row["code"] for row in rows}) > 3


KILLED = """
import os, signal, sys
from pathlib import Path
from potstill.evaluate import grader, loop
from tests.evaluate.conftest import Bench

loop.AT_ONCE = 2
keep = grader.Grader.keep

def killed(self, row):
    keep(self, row)
    if len(self._finished) == 3:
        os.kill(os.getpid(), signal.SIGKILL)

grader.Grader.keep = killed
artefact, prompts, scratch = map(Path, sys.argv[1:])
Bench(artefact, prompts).score({"agent": 6}, scratch=scratch, max_tokens={"agent": 12})
"""


def test_a_killed_loop_goes_on_with_the_part_that_was_open(bench, tmp_path, monkeypatch):
    command = [sys.executable, "-c", textwrap.dedent(KILLED)]
    command += [str(path) for path in (bench.artefact, bench.prompts, tmp_path)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    monkeypatch.setattr(loop, "AT_ONCE", 2)
    asked = []
    original = loop._episodes

    def episodes(desk, part):
        asked.extend(part)
        return original(desk, part)

    monkeypatch.setattr(loop, "_episodes", episodes)
    settings = {"max_tokens": {"agent": 12}}
    resumed = bench.score({"agent": 6}, scratch=tmp_path, **settings)
    assert len(asked) == 4
    assert resumed == bench.score({"agent": 6}, **settings)
