"""`potstill score`: the pipeline's own verdicts, and what is not run, refused or cut short."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from potstill import files, node, params, sandbox, tasks
from potstill.adoption import adopt
from potstill.cli import score
from potstill.cli.__main__ import main
from potstill.errors import InputError
from potstill.evaluate import code, rates, scoring
from potstill.models.chat import ChatTokenizer
from potstill.runtime import llama_cpp
from potstill.scratch import Lock
from potstill.subset import javascript
from potstill.tasks import asking

from stages import collect_prompts
from stages import score as stage
from tests import gguf_files
from tests.tiny_project import ROOT, environment


@pytest.fixture
def artefact(tiny_gguf):
    return tiny_gguf("llama", "f16")


@pytest.fixture(autouse=True)
def inside(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def uncut(monkeypatch):
    """A tiny random model never ends by itself; its rates count although all answers are cut."""
    monkeypatch.setattr(rates, "MAX_CUT", 1.0)


def command(artefact, names, *flags):
    return ["score", str(artefact), "--tasks", names, "--max-tokens", "6", *flags]


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    """Return what the default run's `collect_prompts` writes."""
    out = tmp_path_factory.mktemp("run") / "prompts"
    tree = params.read_params(ROOT / "params.yaml")
    settings = params.build(collect_prompts.Params, tree, "collect_prompts")
    (out.parent / "extra").mkdir()
    collect_prompts.main(settings, extra=out.parent / "extra", out=out)
    return out


def test_katas_and_settings_are_those_of_the_default_run(prompts):
    assert [
        list(files.read_jsonl(prompts / f"{split}.jsonl")) for split in ("validation", "test")
    ] == [score._katas(split, 0) for split in ("validation", "test")]
    tree = params.read_params(ROOT / "params.yaml")
    ours = scoring.Settings(**score.SETTINGS, sources={}, max_tokens={}, threads=2)
    assert ours == params.build(scoring.Settings, tree, "benchmarks", "scoring")


def test_rows_and_metrics_are_those_of_the_stage(artefact, prompts, tmp_path, capsys, uncut):
    assert main([*command(artefact, "katas,humaneval"), "--limit", "2", "--out", "mine"]) == 0
    settings = {
        **score.SETTINGS, "sources": {}, "threads": 2, "max_tokens": {"katas": 6, "humaneval": 6},
    }  # fmt: skip
    (tmp_path / "scratch").mkdir()
    metrics = stage.main(
        stage.Params(**settings, katas=2, humaneval=2),
        artefact=artefact,
        prompts=prompts,
        problems=tmp_path,
        teacher=tmp_path / "none",
        out=tmp_path / "rows.jsonl",
        scratch=tmp_path / "scratch",
    )
    want = list(files.read_jsonl(tmp_path / "rows.jsonl"))
    assert len(want) == 4
    assert list(files.read_jsonl(tmp_path / "mine/rows.jsonl")) == want
    assert files.read_json(tmp_path / "mine/metrics.json") == metrics
    about = files.read_json(tmp_path / "mine/about.json")
    assert about["settings"] == settings
    model = about["artefact"]["files"]["model.gguf"]
    assert model["sha256"] == files.sha256_file(artefact / "model.gguf")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:2] for line in lines[1:-2]] == [
        [name, measure] for name in ("katas", "humaneval") for measure in code.MEASURES
    ]
    assert lines[1][2:] == ["0.0", "%", "0.0", "to", "65.8", "2"]  # Wilson, 0 of 2


def test_tasks_of_held_out_rows_need_no_files_and_the_teachers_need_the_pipeline(
    artefact, tmp_path, capsys, uncut
):
    names = ["formats", "plans", "likelihood", "agent"]
    assert main([*command(artefact, ",".join([*names, "divergence"])), "--limit", "2"]) == 1
    metrics = files.read_json(tmp_path / "scores/artefact/metrics.json")
    assert {metrics[f"{name}.verdict"] for name in names} == {"run"}
    assert metrics["divergence.reason"].startswith("no teacher's distributions are given")
    shown = {tuple(line.split()[:2]) for line in capsys.readouterr().out.splitlines() if line}
    assert {
        ("formats", "well_formed"), ("plans", "chrf"), ("likelihood", "bits_per_byte"),
        ("agent", "solved"), ("agent", "iterations"), ("divergence", "not"),
    } <= shown  # fmt: skip
    assert not any("[" in measure for _, measure in (pair for pair in shown if len(pair) == 2))


def test_answers_that_were_cut_are_not_run(artefact, capsys):
    assert main([*command(artefact, "humaneval"), "--limit", "1"]) == 1
    assert "humaneval     not run: 100.0% of the answers were cut off" in capsys.readouterr().out


def test_a_file_of_problems_can_be_named(artefact, tmp_path, capsys, uncut):
    row = {"task_id": "mbpp/1", "text": "Add one.", "code": "def add(a):\n    return a + 1",
           "test_list": ["assert add(1) == 2"], "split": "test"}  # fmt: skip
    (tmp_path / "mbpp.jsonl").write_text(json.dumps(row) + "\n")
    assert main(command(artefact, "mbpp")) == 1
    assert "mbpp          not run: no file of mbpp is named" in capsys.readouterr().out
    assert main([*command(artefact, "mbpp"), "--source", "mbpp=no.jsonl"]) == 1
    assert "not run: no.jsonl is missing" in capsys.readouterr().out
    assert main([*command(artefact, "mbpp"), "--source", "mbpp=mbpp.jsonl"]) == 0
    assert [row["id"] for row in files.read_jsonl(tmp_path / "scores/artefact/rows.jsonl")] == [
        "mbpp/1"
    ]


def test_a_file_without_a_chat_template_is_not_run_with_that_reason(tiny_llama, tmp_path, capsys):
    plain = shutil.copytree(tiny_llama, tmp_path / "plain")
    (plain / "chat_template.jinja").write_text("")
    adopt.adopt(gguf_files.write("llama", plain, tmp_path / "base.gguf"), tmp_path / "a")
    assert main(command("a", "humaneval")) == 1
    reason = "the artefact has no chat template, and the task asks in messages"
    assert f"humaneval     not run: {reason}" in capsys.readouterr().out
    metrics = files.read_json(tmp_path / "scores/a/metrics.json")
    assert metrics["humaneval.reason"] == reason
    assert (metrics["humaneval.verdict"], metrics["humaneval.n"]) == ("not-run", 0)


def test_without_the_javascript_parser_only_its_tasks_are_not_run(
    artefact, capsys, monkeypatch, uncut
):
    def lost():
        raise InputError("acorn is not installed")

    monkeypatch.setattr(node, "_root", lost)
    monkeypatch.setattr(javascript, "_worker", node.Worker(javascript._worker._script))
    assert main([*command(artefact, "katas,humaneval"), "--limit", "1"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "katas         not run: acorn is not installed"
    assert lines[2].split()[:2] == ["humaneval", "pass_at_1"]


PROMPT = [
    {"role": "system", "content": "Answer in {braces}."},
    {"role": "user", "content": "Do:\n{prompt}\nNow."},
]


def as_json(path):
    path.write_text(json.dumps(PROMPT))


def as_yaml(path):
    path.write_text(
        "- {role: system, content: 'Answer in {braces}.'}\n"
        "- role: user\n  content: |-\n    Do:\n    {prompt}\n    Now.\n"
    )


@pytest.fixture
def asked(monkeypatch):
    """Collect the texts of the prompts that the runtime is given."""
    texts = []
    render = ChatTokenizer.render

    def listen(self, messages, **others):
        texts.append([message["content"] for message in messages])
        return render(self, messages, **others)

    monkeypatch.setattr(ChatTokenizer, "render", listen)
    return texts


@pytest.mark.parametrize("write", [as_json, as_yaml])
def test_a_prompt_of_the_users_is_asked_with_and_recorded(
    artefact, tmp_path, capsys, uncut, asked, write
):
    write(tmp_path / "mine.yaml")
    row = {"task_id": "mbpp/1", "text": "Add one.", "code": "def add(a):\n    return a + 1",
           "test_list": ["assert add(1) == 2"], "split": "test"}  # fmt: skip
    (tmp_path / "mbpp.jsonl").write_text(json.dumps(row) + "\n")
    flags = ["--limit", "1", "--out", "a", "--source", "mbpp=mbpp.jsonl", "--prompt", "mine.yaml"]
    assert main([*command(artefact, "katas,humaneval,mbpp"), *flags]) == 0
    assert [system for system, _ in asked] == ["Answer in {braces}."] * 3
    humaneval = {problem.request for problem in tasks.TASKS["humaneval"].problems(tasks.Where())}
    assert asked[1][1].removeprefix("Do:\n").removesuffix("\nNow.") in humaneval
    shown = "Add one. Your code should pass these tests:\nassert add(1) == 2"
    assert asked[2][1] == f"Do:\n{shown}\nNow."
    assert files.read_json(tmp_path / "a/about.json")["prompt"] == PROMPT
    assert "asked in the messages of mine.yaml" in capsys.readouterr().out


def test_named_prompts_are_asked_with_and_none_is_recorded_as_none(artefact, asked, uncut):
    for name, messages in asking.NAMED.items():
        assert main([*command(artefact, "humaneval"), "--limit", "1", "--prompt", name]) == 0
        assert files.read_json(Path("scores/artefact/about.json"))["prompt"] == messages
    assert main([*command(artefact, "humaneval"), "--limit", "1"]) == 0
    assert files.read_json(Path("scores/artefact/about.json"))["prompt"] is None
    bare, system, user, (_, own) = asked
    (shown,) = bare
    said = "Output ONLY executable python code."
    assert (system, user) == ([said, shown], [f"{said}\n\n{shown}"])
    assert own.endswith(f"Complete this function.\n\n{shown}")


def test_what_was_finished_with_another_prompt_does_not_count(artefact, capsys, uncut, counted):
    kill([*command(artefact, "katas", "--limit", "12"), "--out", "a"])
    arguments = [*command(artefact, "katas", "--limit", "12"), "--prompt", "bare", "--out", "a"]
    assert main(arguments) == 0
    assert counted["answered"] == 12


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "mine.yaml is no file and no prompt's name"),
        ("- {role: user", "mine.yaml is no YAML or JSON"),
        ("{prompt}", "mine.yaml must be a list of messages"),
        ("[]", "mine.yaml must be a list of messages"),
        ("- {role: tool, content: '{prompt}'}", "mine.yaml must be a list of messages"),
        ("- {role: user, content: 3}", "mine.yaml must be a list of messages"),
        ("- {role: user, content: '{prompty}'}", "mine.yaml has no {prompt}"),
        ("- {role: assistant, content: '{prompt}'}", "mine.yaml ends with the role assistant"),
    ],
)
def test_what_is_no_prompt_is_one_line(artefact, tmp_path, capsys, text, reason):
    if text is not None:
        (tmp_path / "mine.yaml").write_text(text)
    assert main(command(artefact, "humaneval", "--prompt", "mine.yaml")) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert reason in err


def test_a_task_that_asks_in_several_ways_keeps_them(artefact, capsys):
    assert main(command(artefact, "humaneval,plans", "--prompt", "bare")) == 2
    assert "ask once for code, and plans does not" in capsys.readouterr().err


def damaged(artefact, tmp_path):
    copy = shutil.copytree(artefact, tmp_path / "copy")
    data = bytearray((copy / "model.gguf").read_bytes())
    data[-1] ^= 1
    (copy / "model.gguf").write_bytes(data)
    return command(copy, "humaneval")


def scored(artefact, tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s/rows.jsonl").write_text("")
    return command("s", "humaneval")


def occupied(artefact, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    return command(artefact, "humaneval", "--out", "mine")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (lambda a, _: command(a, "katas,humanevil"), "did you mean humaneval?"),
        (lambda a, _: command(a, "mbpp", "--source", "mbbp=x"), "did you mean mbpp?"),
        (lambda a, _: command(a, "mbpp", "--source", "mbpp"), "--source is 'mbpp': TASK=FILE"),
        (lambda a, _: command(a, "katas", "--limit", "0"), "--limit is 0"),
        (lambda a, _: command(a, "katas", "--threads", "0"), "--threads is 0"),
        (lambda a, _: command(a, "katas", "--max-tokens", "0"), "--max-tokens is 0"),
        (lambda *_: command("no-such-folder", "katas"), "is no folder"),
        (lambda a, _: command(a / "model.gguf", "katas"), "adopt a file first"),
        (damaged, "has SHA-256"),
        (scored, "artifact.json is missing"),
        (occupied, "mine holds something else"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(artefact, tmp_path, capsys, given, reason):
    arguments = given(artefact, tmp_path)
    before = files.sha256_tree(tmp_path)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert reason in err
    assert files.sha256_tree(tmp_path) == before


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


def other_file(artefact, tmp_path):
    """Change a test of one problem: neither its id nor the path of the file."""
    path = tmp_path / "mbpp.jsonl"
    path.write_text(path.read_text().replace("assert add(11) == 12", "assert add(11) == 13"))
    return command(artefact, "mbpp")


@pytest.mark.parametrize("changed", [other_cap, other_artefact, other_file])
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


def test_a_task_names_itself_in_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["score", "--help"])
    assert set(tasks.TASKS) <= set(capsys.readouterr().out.replace(",", " ").split())
