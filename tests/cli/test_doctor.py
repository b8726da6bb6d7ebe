"""`potstill doctor` on a project: its lines, its codes, and what it says of what is not there."""

import json
from pathlib import Path

import pytest
import yaml
from potstill import params
from potstill.cli.__main__ import main
from potstill.doctor.finding import Finding

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text(
        "seed: 0\ntraining: {batch_rows: 2}\n"
        "students: {kd: {start: small, signal: signals/a, steps: 3}, untrained: {steps: 0}}\n"
        "on_policy: {}\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_unknown_student_is_named_with_those_that_there_are(project, capsys):
    assert main(["doctor", "untrainde"]) == 2
    assert (
        "no student 'untrainde'; allowed: kd, untrained; did you mean untrained?"
        in capsys.readouterr().err
    )


def test_a_setting_that_is_missing_is_named(project, capsys):
    assert main(["doctor"]) == 2
    assert "is missing: add it" in capsys.readouterr().err


@pytest.mark.parametrize(("verdict", "code"), [("pass", 0), ("not-run", 0), ("fail", 1)])
def test_a_failure_is_its_code_and_each_finding_a_line(verdict, code, project, capsys, monkeypatch):
    one = Finding("rate", verdict, "too high: lower it", {"rate": 0.5})
    monkeypatch.setattr("potstill.cli.doctor._look", lambda *_: iter([one]))
    assert main(["doctor"]) == code
    text = capsys.readouterr().out
    assert text.startswith("kd\n")
    assert "rate        too high: lower it\n" in text
    assert ("1 to mend" if code else "nothing to mend") in text
    assert main(["doctor", "kd", "--json"]) == code
    row = json.loads(capsys.readouterr().out)
    assert row == {"student": "kd", "name": "rate", "verdict": verdict,
                   "words": "too high: lower it", "numbers": {"rate": 0.5}}  # fmt: skip


def test_a_student_whose_start_is_yet_to_be_trained_is_told(project, capsys):
    tree = params.read_params(ROOT / "params.yaml")
    tree["on_policy"] = {"own": {"model": "students/kd", "signal": "signals/live", "steps": 3}}
    (project / "params.yaml").write_text(yaml.safe_dump(tree))
    assert main(["doctor", "own"]) == 0
    said = "start       models/students/kd is not there yet: ask again once it is trained"
    assert said in capsys.readouterr().out
    assert main(["doctor", "owm"]) == 2
    assert "did you mean own?" in capsys.readouterr().err
