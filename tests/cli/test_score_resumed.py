"""A scoring that is killed, stopped or met by another goes on where it was, or changes nothing."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from potstill import files, sandbox
from potstill.cli.__main__ import main
from potstill.evaluate import scoring
from potstill.runtime import llama_cpp
from potstill.scratch import Lock

from tests.cli.conftest import command
from tests.tiny_project import environment

pytestmark = pytest.mark.usefixtures("inside")


def test_control_c_keeps_the_scores_of_before(artefact, tmp_path, capsys, monkeypatch, uncut):
    arguments = command(artefact, "humaneval", "--limit", "1", "--out", "s")
    assert main(arguments) == 0
    before = files.sha256_tree(tmp_path)

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(scoring, "score", stop)
    assert main(arguments) == 130
    assert capsys.readouterr().err == "potstill score: stopped\n"
    assert files.sha256_tree(tmp_path) == before
    assert json.loads((tmp_path / "s/metrics.json").read_text())["humaneval.n"] == 1


KILLED = """
import os, signal, sys
from potstill.cli.__main__ import main
from potstill.evaluate import grader, rates

rates.MAX_CUT = 1.0
write, count = grader.os.fsync, 0

def fsync(descriptor):
    global count
    write(descriptor)
    count += 1
    if count == 6:
        os.kill(os.getpid(), signal.SIGKILL)

grader.os.fsync = fsync
main(sys.argv[1:])
"""


def kill(arguments):
    """Run the command and kill it when six answers are on disk; return which are."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], env=environment(), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    (path,) = Path(".a.scratch").glob("*/rows.jsonl")
    rows = list(files.read_jsonl(path))
    assert 6 <= len(rows) < 12
    return {(row["task"], row["id"]) for row in rows}


@pytest.fixture
def counted(monkeypatch):
    """Count the prompts that are answered and the programs that are run."""
    counts = {"answered": 0, "run": 0}
    generate, run_many = llama_cpp.LlamaCpp.generate, sandbox.run_many

    def answer(self, requests, **others):
        counts["answered"] += len(requests)
        return generate(self, requests, **others)

    def run(cases, *others, **more):
        counts["run"] += len(cases)
        return run_many(cases, *others, **more)

    monkeypatch.setattr(llama_cpp.LlamaCpp, "generate", answer)
    monkeypatch.setattr(sandbox, "run_many", run)
    return counts


def test_a_killed_scoring_repeats_nothing_that_was_finished(artefact, capsys, uncut, counted):
    arguments = command(artefact, "katas", "--limit", "12")
    assert main([*arguments, "--out", "unbroken"]) == 0
    whole = dict(counted)
    finished = kill([*arguments, "--out", "a"])
    assert not Path("a").exists()
    counted |= {"answered": 0, "run": 0}
    assert main([*arguments, "--out", "a"]) == 0
    assert counted["answered"] == 12 - len(finished)
    assert counted["run"] < whole["run"]
    assert files.sha256_tree(Path("a")) == files.sha256_tree(Path("unbroken"))
    assert not Path(".a.scratch").exists()


def other_cap(artefact, _tmp_path):
    return [*command(artefact, "mbpp"), "--max-tokens", "7"]


def other_artefact(artefact, tmp_path):
    copy = shutil.copytree(artefact, tmp_path / "b")
    path = copy / "tokenizer_config.json"
    path.write_text(path.read_text() + " ")
    description = files.read_json(copy / "artifact.json")
    said = {"bytes": path.stat().st_size, "sha256": files.sha256_file(path)}
    description["files"]["tokenizer_config.json"] = said
    files.write_json(copy / "artifact.json", description)
    return command(copy, "mbpp")


def other_cache(artefact, tmp_path):
    copy = shutil.copytree(artefact, tmp_path / "b")
    stated = {"quantisation": "f16_cache_f16", "cache": "f16"}  # the files are the same
    files.write_json(copy / "artifact.json", files.read_json(copy / "artifact.json") | stated)
    return command(copy, "mbpp")


def other_file(artefact, tmp_path):
    """Change a test of one problem: neither its id nor the path of the file."""
    path = tmp_path / "mbpp.jsonl"
    path.write_text(path.read_text().replace("assert add(11) == 12", "assert add(11) == 13"))
    return command(artefact, "mbpp")


@pytest.mark.parametrize("changed", [other_cap, other_artefact, other_cache, other_file])
def test_what_was_finished_counts_only_under_what_decided_it(
    artefact, tmp_path, capsys, uncut, counted, changed
):
    rows = [
        {"task_id": f"mbpp/{n}", "text": f"Add {n}.", "split": "test",
         "code": f"def add(a):\n    return a + {n}", "test_list": [f"assert add({n}) == {n + n}"]}
        for n in range(11)
    ]  # fmt: skip
    rows.append(rows[0] | {"task_id": "mbpp/11", "test_list": ["assert add(11) == 12"]})
    files.write_jsonl(tmp_path / "mbpp.jsonl", rows)
    rest = ["--source", "mbpp=mbpp.jsonl", "--out", "a"]
    kill([*command(artefact, "mbpp"), *rest])
    assert main([*changed(artefact, tmp_path), *rest]) == 0
    assert counted["answered"] == 12


def test_two_scorings_do_not_write_one_folder(artefact, tmp_path, capsys, uncut):
    (tmp_path / ".a.scratch").mkdir()
    arguments = command(artefact, "humaneval", "--limit", "1", "--out", "a")
    with Lock(tmp_path / ".a.scratch"):
        assert main(arguments) == 2
    assert "another `potstill score` writes a: wait" in capsys.readouterr().err
    assert main(arguments) == 0


def test_what_was_finished_with_another_prompt_does_not_count(artefact, capsys, uncut, counted):
    kill([*command(artefact, "katas", "--limit", "12"), "--out", "a"])
    arguments = [*command(artefact, "katas", "--limit", "12"), "--prompt", "bare", "--out", "a"]
    assert main(arguments) == 0
    assert counted["answered"] == 12
