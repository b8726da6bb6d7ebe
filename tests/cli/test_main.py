"""The command line: one line and the right exit code for a mistake, and a start without waiting."""

import subprocess
import sys
import time
import types

import pytest
from potstill.cli import __main__ as cli
from potstill.errors import InputError

from tests import tiny_project


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text("seed: 1  # kept\n")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_preset_is_applied_and_the_changes_are_printed(project, capsys):
    (project / "p.yaml").write_text("seed: 2\n")
    assert cli.main(["preset", "p.yaml"]) == 0
    assert capsys.readouterr().out == "seed: 1 -> 2\n"
    assert (project / "params.yaml").read_text() == "seed: 2  # kept\n"
    assert cli.main(["preset", "p.yaml"]) == 0
    assert "already holds" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("preset no.yaml", "no.yaml is missing"),
        ("preset params.yaml --params-file no.yaml", "no.yaml is missing"),
        ("verify", "metrics/SHA256SUMS is missing"),
        ("results", "is missing: run `dvc repro`"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_1(project, capsys, command, named):
    assert cli.main(command.split()) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"potstill {command.split()[0]}: ")
    assert named in line


@pytest.mark.parametrize("command", ["check", "run"])
def test_check_and_run_tell_no_from_could_not(monkeypatch, capsys, command):
    """1 is the answer no; an unusable input is 2."""

    def work(args):
        if args.code == "unusable":
            raise InputError("got nothing, give a file")
        return 1

    module = types.ModuleType("fake")
    module.main = work
    module.add_arguments = lambda parser: parser.add_argument("code")
    monkeypatch.setattr(cli.importlib, "import_module", lambda name: module)
    assert cli.main([command, "bad"]) == 1
    assert cli.main([command, "unusable"]) == 2
    assert capsys.readouterr().err == f"potstill {command}: got nothing, give a file\n"


def test_results_prints_the_table_and_where_the_report_is(project, capsys):
    (project / "table.md").write_text("| a |\n")
    (project / "report.html").write_text("<p>")
    assert cli.main(["results", "--table", "table.md", "--report", "report.html"]) == 0
    assert capsys.readouterr().out == f"| a |\n\nReport: {project / 'report.html'}\n"


def test_preflight_exits_1_and_names_every_problem(project, capsys):
    (project / "requirements.lock").write_text("no-such-package==1\npytest==0.1\n")
    assert cli.main(["preflight"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["no-such-package", "pytest"]


def test_a_place_that_cannot_be_written_is_one_line(project, capsys):
    (project / "file").write_text("")
    assert cli.main(["adopt", "file", "--out", "file/below"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "Not a directory" in line
    assert line.endswith(": name another place, or make room")


@pytest.mark.parametrize("arguments", [[], ["distil"], ["verify", "--all"]])
def test_wrong_usage_exits_2_with_usage(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert "usage: potstill" in capsys.readouterr().err


def run(*arguments, **options):
    return subprocess.run(  # noqa: PLW1510
        [sys.executable, *arguments],
        env=tiny_project.environment(),
        capture_output=True,
        text=True,
        timeout=30,
        **options,
    )


def test_help_starts_in_under_0_3_s():
    def seconds():
        started = time.perf_counter()
        assert run("-m", "potstill.cli", "--help").returncode == 0
        return time.perf_counter() - started

    assert min(seconds() for _ in range(3)) < 0.3


BARE = """
import runpy, sys
sys.path.insert(0, "lib")
sys.argv[1:] = ["preflight", "--tools"]
runpy.run_module("potstill.cli", run_name="__main__")
"""


def test_the_tools_are_checked_by_a_python_without_packages():
    done = run("-S", "-E", "-c", BARE, cwd=tiny_project.ROOT)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_pipe_is_no_traceback(project):
    (project / "metrics").mkdir()
    lines = "".join(f"{'0' * 64}  data/{number}\n" for number in range(5000))
    (project / "metrics/SHA256SUMS").write_text(lines)
    command = f"{sys.executable} -m potstill.cli verify | head -1"
    done = subprocess.run(
        ["sh", "-c", command], env=tiny_project.environment(), capture_output=True, check=True
    )
    assert done.stdout.startswith(b"data/0: missing")
    assert done.stderr == b""
