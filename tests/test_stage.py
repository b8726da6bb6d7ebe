"""A stage's promises: whole outputs or none, one writer, one line for a user's mistake.

Not tested here: DVC itself around a stage (tests/test_interrupt.py).
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from potstill import stage
from potstill.params import Section

SCRIPT = """
import os, subprocess, sys, time
from pathlib import Path
from potstill import stage
from potstill.errors import InputError
from potstill.params import Section


class Params(Section):
    mode: str


def main(params: Params, *, source: Path, folder_out: Path, out: Path, scratch: Path) -> dict:
    mark = scratch / "mark"
    found = mark.read_text() if mark.exists() else ""
    mark.write_text(found + "x")
    folder_out.mkdir()
    (folder_out / "a.txt").write_text(source.read_text() + found)
    if params.mode == "crash":
        raise RuntimeError("a bug")
    if params.mode == "refuse":
        raise InputError("got 3, allowed 1 or 2: change it")
    if params.mode == "full":
        Path("/dev/full").write_text("x")
    if params.mode == "full tensors":  # safetensors renames: it would replace /dev/full itself
        from safetensors import SafetensorError
        raise SafetensorError("Error while serializing: I/O error: No space left (os error 28)")
    if params.mode == "half":
        return {"num": 1}
    out.write_text("new")
    if params.mode == "nan":
        return {"num": float("nan")}
    if params.mode == "child":
        beat = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
        with Path("beats").open("a") as beats:
            subprocess.run([sys.executable, "-c", beat], stdout=beats)
    if params.mode == "slow":
        with Path("beats").open("a") as beats:
            for _ in range(400):
                beats.write(f"{os.getpid()}\\n")
                beats.flush()
                time.sleep(0.02)
    return {"num": 1}


if __name__ == "__main__":
    stage.run(main, Params)
"""
FLAGS = "--params toy --source in.txt --folder-out made/folder --out made/file --metrics toy.json"


@pytest.fixture
def project(tmp_path):
    (tmp_path / "toy.py").write_text(SCRIPT)
    (tmp_path / "in.txt").write_text("input")
    set_mode(tmp_path, "plain")
    return tmp_path


def set_mode(project, mode):
    (project / "params.yaml").write_text(f"toy: {{mode: {mode}}}\n")


def command(flags=FLAGS):
    return f"{sys.executable} toy.py {flags}"


def start(project, before=""):
    return subprocess.Popen(
        ["/bin/sh", "-c", before + command()],
        cwd=project,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(project, flags=FLAGS):
    return subprocess.run(  # noqa: PLW1510
        command(flags).split(), cwd=project, capture_output=True, text=True, timeout=30
    )


def outputs(project):
    """All finished files that the stage made."""
    made = [project / "toy.json", *(project / "made").rglob("[!.]*")]
    made = [p for p in made if ".partial" not in str(p)]
    return {p.relative_to(project).as_posix(): p.read_text() for p in made if p.is_file()}


GOOD = {"made/folder/a.txt": "input", "made/file": "new", "toy.json": '{\n  "num": 1\n}\n'}


def wait_for(condition, seconds=15.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def writers(project):
    beats = project / "beats"
    return set(beats.read_text().split()) if beats.exists() else set()


def test_outputs_and_metrics_are_written_and_nothing_else(project):
    done = run(project)
    assert (done.returncode, outputs(project)) == (0, GOOD)
    assert not list(project.rglob("*.partial"))
    assert not list((project / ".potstill/scratch").glob("*"))
    row = json.loads((project / ".potstill/timings.jsonl").read_text())
    assert row["stage"] == "toy"
    assert row["peak_rss_mb"] > 1


@pytest.mark.parametrize("mode", ["crash", "refuse", "half", "nan"])
def test_a_failure_leaves_the_previous_outputs_intact(project, mode):
    run(project)
    (project / "in.txt").write_text("other")
    set_mode(project, mode)
    done = run(project)
    assert done.returncode == 1
    assert outputs(project) == GOOD
    assert not list(project.rglob("*.partial"))


def test_a_first_failure_leaves_no_output(project):
    set_mode(project, "crash")
    assert run(project).returncode == 1
    assert outputs(project) == {}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("mode", ["full", "full tensors"])
def test_a_full_disk_is_one_line_and_touches_no_output(project, mode):
    assert run(project).returncode == 0
    before = outputs(project)
    set_mode(project, mode)
    done = run(project)
    assert done.returncode == 1
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert outputs(project) == before


def test_a_mistake_of_the_users_is_one_line_and_a_bug_is_a_traceback(project):
    set_mode(project, "refuse")
    assert run(project).stderr.splitlines()[1:] == ["toy: got 3, allowed 1 or 2: change it"]
    set_mode(project, "crash")
    assert "Traceback" in run(project).stderr


@pytest.mark.parametrize(
    ("flags", "text", "named"),
    [
        (FLAGS, "toy: {mode: 3}", "toy.mode: got 3 (int)"),
        (FLAGS, "toy: {mod: plain}", "mod"),
        (FLAGS, "tou: {mode: plain}", "did you mean tou?"),
        (FLAGS, "- 1", "sections are expected"),
        (FLAGS.replace("in.txt", "no.txt"), "toy: {mode: plain}", "--source no.txt is missing"),
    ],
)
def test_bad_settings_and_missing_inputs_are_refused_before_any_work(project, flags, text, named):
    (project / "params.yaml").write_text(text)
    done = run(project, flags)
    assert done.returncode == 1
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert outputs(project) == {}


def test_scratch_survives_a_crash_and_is_found_by_the_same_run_only(project):
    for _ in range(2):
        set_mode(project, "crash")
        run(project)
    (folder,) = (project / ".potstill/scratch/toy").iterdir()
    assert (folder / "mark").read_text() == "xx"
    (project / "in.txt").write_text("other input")
    run(project)
    (other,) = (project / ".potstill/scratch/toy").iterdir()
    assert other != folder
    set_mode(project, "refuse")
    run(project)
    (third,) = (project / ".potstill/scratch/toy").iterdir()
    assert third != other
    with (project / "toy.py").open("a") as script:
        script.write("\n# edited\n")
    run(project)
    (fourth,) = (project / ".potstill/scratch/toy").iterdir()
    assert fourth != third
    assert (fourth / "mark").read_text() == "x"


def test_the_second_run_waits_until_the_first_has_ended(project):
    set_mode(project, "slow")
    first = start(project)
    wait_for(lambda: writers(project))
    set_mode(project, "plain")
    second = start(project)
    line = second.stderr.readline()
    assert "another run of this stage" in line
    assert second.poll() is None
    assert not (project / "made/file").exists()
    os.killpg(first.pid, signal.SIGKILL)
    assert second.wait(15) == 0
    assert outputs(project) == GOOD | {"made/folder/a.txt": "input"}


# A shell that stays between DVC and the stage, and one that replaces itself by the stage.
@pytest.mark.parametrize(("before", "mode"), [("", "slow"), ("exec ", "slow"), ("", "child")])
def test_kill_9_of_the_parent_leaves_no_writer(project, before, mode):
    set_mode(project, mode)
    shell = repr(["/bin/sh", "-c", f"{before}{command()}" + ("" if before else "; true")])
    parent = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess; subprocess.run({shell})"], cwd=project
    )
    wait_for(lambda: writers(project))
    (writer,) = writers(project)
    assert alive(writer)
    parent.kill()
    parent.wait(10)
    wait_for(lambda: not alive(writer), 5)
    assert outputs(project) == {}
    set_mode(project, "plain")
    assert run(project).returncode == 0
    assert outputs(project) == GOOD
    assert not list(project.rglob("*.partial"))


def test_a_stage_outlives_the_shell_that_started_dvc(project):
    """`nohup dvc repro &` and logging out: the parent's parent ends, DVC does not."""
    set_mode(project, "slow")
    dvc = f"import subprocess; subprocess.run({command().split()!r})"
    script = [sys.executable, "-c", dvc]
    login = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import subprocess, time; subprocess.Popen({script!r}); time.sleep(60)",
        ],
        cwd=project,
        start_new_session=True,
    )
    try:
        wait_for(lambda: writers(project))
        login.kill()
        login.wait(10)
        time.sleep(1)
        (writer,) = writers(project)
        assert alive(writer)
    finally:
        os.killpg(login.pid, signal.SIGKILL)


def test_flags_and_outputs_follow_from_mains_parameters():
    def main(params, *, student: Path, out: Path, plot_out: Path, scratch: Path): ...

    assert stage.path_parameters(main) == ["student", "out", "plot_out"]
    assert [stage.is_output(n) for n in ("student", "out", "plot_out")] == [False, True, True]


def test_a_scratch_is_keyed_by_the_code_that_its_stage_imports():
    from potstill import imports

    script = imports.ROOT / "stages/distill.py"
    names = {p.relative_to(imports.ROOT).as_posix() for p in imports.sources(script)}
    assert {"stages/distill.py", "lib/potstill/distill/training.py"} <= names
    assert not names & {"lib/potstill/report/plots.py", "lib/potstill/stage.py"}


def test_no_variants_scratch_deletes_anothers(tmp_path, monkeypatch):
    from stages import distill

    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").touch()

    class Settings(Section):
        alpha: float

    def scratch(name, alpha):
        return stage._scratch(name, distill.main, Settings(alpha=alpha), {"a": tmp_path / "in"})

    soft = scratch("distill@kd-soft", 0.5)
    (soft / "step").touch()
    old, new = scratch("distill@kd", 0.5), scratch("distill@kd", 0.7)
    assert (soft / "step").exists()
    assert new.exists()
    assert not old.exists()  # other settings of the same variant: never found again
