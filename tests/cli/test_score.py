"""`potstill score`: the pipeline's own verdicts, and what is not run or refused."""

import json
import shutil

import pytest
from potstill import files, node, params, splits, tasks
from potstill.adoption import adopt
from potstill.cli import score
from potstill.cli.__main__ import main
from potstill.errors import InputError
from potstill.evaluate import code, scoring
from potstill.subset import javascript

from stages import collect_prompts
from stages import score as stage
from tests import gguf_files
from tests.cli.conftest import command
from tests.tiny_project import ROOT

pytestmark = pytest.mark.usefixtures("inside")


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
    assert "humaneval       not run: 100.0% of the answers were cut off" in capsys.readouterr().out


def test_several_samples_of_the_validation_split(artefact, tmp_path, uncut, capsys):
    several = ("--samples", "2", "--temperature", "1.0", "--split", "validation")
    assert main(command(artefact, "katas", "--limit", "3", *several)) == 0
    rows = list(files.read_jsonl(tmp_path / "scores/artefact/rows.jsonl"))
    assert sorted(row["sample"] for row in rows) == [0, 0, 0, 1, 1, 1]
    assert {splits.split(row["family"]) for row in rows} == {"validation"}
    assert "pass_at_2" in capsys.readouterr().out
    assert main(command(artefact, "humaneval", "--limit", "3", "--split", "validation")) == 1
    assert "humaneval has no split validation" in capsys.readouterr().out


def test_a_file_of_problems_can_be_named(artefact, tmp_path, capsys, uncut):
    row = {"task_id": "mbpp/1", "text": "Add one.", "code": "def add(a):\n    return a + 1",
           "test_list": ["assert add(1) == 2"], "split": "test"}  # fmt: skip
    (tmp_path / "mbpp.jsonl").write_text(json.dumps(row) + "\n")
    assert main(command(artefact, "mbpp")) == 1
    assert "mbpp            not run: no file of mbpp is named" in capsys.readouterr().out
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
    assert f"humaneval       not run: {reason}" in capsys.readouterr().out
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
    assert lines[1] == "katas           not run: acorn is not installed"
    assert lines[2].split()[:2] == ["humaneval", "pass_at_1"]


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
        (lambda a, _: command(a, "katas", "--samples", "0"), "--samples is 0"),
        (lambda a, _: command(a, "katas", "--samples", "2"), "samples is 2 at temperature 0"),
        (lambda a, _: command(a, "katas", "--temperature", "-1"), "--temperature is -1.0"),
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


def test_a_task_names_itself_in_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["score", "--help"])
    assert set(tasks.TASKS) <= set(capsys.readouterr().out.replace(",", " ").split())
