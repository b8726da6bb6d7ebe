"""`potstill run`."""

import json

import pytest
from potstill.cli.__main__ import main


@pytest.fixture
def files(tmp_path):
    good, bad = tmp_path / "good.py", tmp_path / "bad.js"
    good.write_text("print(input())")
    bad.write_text("console.log('so far'); nothing()")
    (tmp_path / "input").write_text("hello")
    return tmp_path


def test_readable_verdict_and_exit_code(files, capsys):
    stdin = ["--stdin", str(files / "input")]
    assert main(["run", *stdin, str(files / "good.py")]) == 0
    out, err = capsys.readouterr()
    assert out == "hello\n"
    assert "good.py: ok, exit code 0" in err
    assert main(["run", *stdin, str(files / "good.py"), str(files / "bad.js")]) == 1
    out, err = capsys.readouterr()
    assert out == "hello\nso far\n"
    assert "ReferenceError: nothing is not defined" in err
    assert "bad.js: failed, exit code 1" in err


def test_json_is_a_line_for_each_file(files, capsys):
    assert main(["run", "--json", str(files / "good.py"), str(files / "bad.js")]) == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["file"] for row in rows] == [str(files / "good.py"), str(files / "bad.js")]
    assert [row["ok"] for row in rows] == [False, False]  # nothing to read for the first
    assert "EOFError" in rows[0]["stderr"]
    assert rows[1]["stdout"] == "so far"
    assert "seccomp" in rows[1]["layers"]


def test_limits_are_taken_from_the_command_line(files, capsys):
    (files / "busy.py").write_text("while True: pass")
    assert main(["run", "--cpu-s", "0.2", str(files / "busy.py")]) == 1
    assert "ended by cpu, timeout: for a larger model" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["missing.py", "input"])
def test_what_cannot_be_run_is_one_line(files, name, capsys):
    assert main(["run", str(files / name)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert name in err
