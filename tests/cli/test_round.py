"""`potstill round`: what a student fails at, as weights of training tasks."""

import pytest
from potstill import files
from potstill.cli.__main__ import main
from potstill.sampling import draw

from stages import collect_prompts

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    out = tmp_path_factory.mktemp("round") / "prompts"
    one = [1] * 4
    counts = {"train_per_family": one, "validation_per_family": one, "test_per_family": one}
    settings = {**counts, "languages": ["python"], "sources": [], "seed": 0}
    (out.parent / "extra").mkdir()
    collect_prompts.main(collect_prompts.Params(**settings), extra=out.parent / "extra", out=out)
    return out


def run(artefact, prompts, *flags):
    return main(["round", str(artefact), "--prompts", str(prompts), "--max-tokens", "4", *flags])


def test_a_round_weighs_every_training_task_and_repeats_itself(
    tiny_gguf, prompts, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    artefact = tiny_gguf("llama", "f16")
    assert run(artefact, prompts, "--limit", "12", "--clusters", "3") == 0
    shown = capsys.readouterr().out
    first = (tmp_path / "rounds/round.json").read_bytes()
    tree = files.read_json(tmp_path / "rounds/round.json")
    train = {row["id"] for row in files.read_jsonl(prompts / "train.jsonl")}
    assert set(draw.read(tmp_path / "rounds/round.json")) == train
    assert sum(one["tasks"] for one in tree["clusters"]) == 12
    assert all(one["failed"] == one["tasks"] for one in tree["clusters"])  # it is random
    assert set(tree["weights"].values()) == {1.0}
    assert all(one["name"] in shown for one in tree["clusters"])
    assert "between 1.00 and 1.00: nearly the same tasks" in shown
    assert not list((tmp_path / "rounds").glob(".*"))
    assert run(artefact, prompts, "--limit", "12", "--clusters", "3") == 0
    assert (tmp_path / "rounds/round.json").read_bytes() == first


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--clusters", "0"], "--clusters is 0: at least 1"),
        (["--limit", "2", "--clusters", "3"], "2 different tasks make no 3 clusters"),
        (["--embedder", "package:no-such"], "package no-such is not installed"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    tiny_gguf, prompts, tmp_path, monkeypatch, capsys, flags, words
):
    monkeypatch.chdir(tmp_path)
    assert run(tiny_gguf("llama", "f16"), prompts, *["--limit", "2", *flags]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "rounds/round.json").exists()


def test_missing_prompts_are_named(tiny_gguf, tmp_path, capsys):
    assert run(tiny_gguf("llama", "f16"), tmp_path / "none") == 2
    assert "train.jsonl" in capsys.readouterr().err
