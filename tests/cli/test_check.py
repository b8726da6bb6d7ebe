"""`potstill check`: a line a file, and exit codes that scripts can use."""

import json

import pytest
from potstill.cli import __main__ as cli


@pytest.fixture
def files(tmp_path):
    (tmp_path / "good.py").write_text("def f(x):\n    return x\n")
    (tmp_path / "bad.js").write_text("let a = 1;\nclass A {}\n")
    (tmp_path / "odd.txt").write_text("x")
    return tmp_path


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["good.py"], 0),
        (["good.py", "bad.js"], 1),
        (["good.py", "odd.txt"], 2),
        (["bad.js", "none.py"], 2),
    ],
)
def test_exit_codes(files, names, code):
    assert cli.main(["check", *(str(files / name) for name in names)]) == code


def test_json_has_a_line_a_file_with_places(files, capsys):
    cli.main(["check", "--json", str(files / "good.py"), str(files / "bad.js")])
    good, bad = map(json.loads, capsys.readouterr().out.splitlines())
    assert good["supported"]
    assert good["reasons"] == []
    assert not bad["supported"]
    reason = bad["reasons"][0]
    assert (reason["kind"], reason["detail"]) == ("node", "ClassDeclaration")
    assert reason["line"] == 2


def test_the_readable_form_names_file_line_and_reason(files, capsys):
    cli.main(["check", str(files / "bad.js")])
    assert "bad.js:2:0: Blocked AST node: ClassDeclaration" in capsys.readouterr().out
