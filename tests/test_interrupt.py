"""`kill -9` of `dvc repro`, then `dvc repro`: the same files as a run that nobody disturbed.

Only DVC's own process is killed. One disturbed run meets all kill points, so that a project costs
two runs. `tiny` shows that the test itself works; `smoke` is the real pipeline, reduced.
"""

import dataclasses
import re
import shutil
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests import tiny_project
from tests.tiny_project import ROOT, call

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

STAGE_S = 600  # no stage of a project under test takes longer
ORPHAN_S = 10  # a stage sees within this time that DVC is gone
SETTLE_S = 2.0  # a stage that keeps no scratch is killed this long after its start

SLOW_MODEL = tiny_project.MAKE_MODEL.replace("out: Path)", "out: Path, scratch: Path)").replace(
    "    out.mkdir()\n",
    """    import time
    done = scratch / "done"
    start = int(done.read_text()) if done.exists() else 0
    for number in range(start, 30):
        done.with_suffix(".new").write_text(str(number))  # a kill leaves a number or none
        done.with_suffix(".new").replace(done)
        time.sleep(0.05)
    out.mkdir()
    (out / "half").write_text("half")
    time.sleep(0.5)
    (out / "half").unlink()
""",
)


@dataclasses.dataclass(frozen=True)
class Case:
    """A project's folder, what prepares a clone of it, and the stages in which DVC is killed."""

    source: Path
    prepare: tuple[str, ...]
    kill_in: tuple[str, ...]  # patterns of stage names, in the order of the run


@pytest.fixture(scope="module", params=["tiny", pytest.param("smoke", marks=pytest.mark.long)])
def case(request, tmp_path_factory):
    if request.param == "tiny":
        folder = tiny_project.write(tmp_path_factory.mktemp("tiny") / "project")
        (folder / "stages/make_model.py").write_text(SLOW_MODEL)
        tiny_project.commit(folder)
        return Case(folder, ("true",), ("make_model@q8", "make_model@q8", "make_model@q4"))
    if not (ROOT / "presets/smoke.yaml").exists():
        pytest.skip("no presets/smoke.yaml here")
    prepare = ("python", "-m", "potstill.cli", "preset", "presets/smoke.yaml")
    return Case(ROOT, prepare, (r"sample_teacher", r"distill@\S*kd", r"score@\S+"))


def environment(clone):
    found = tiny_project.environment()
    return found | ({"PYTHONPATH": str(clone / "lib")} if (clone / "lib").exists() else {})


def clone_of(case, folder):
    call(folder.parent, "git", "clone", "-q", str(case.source), str(folder))
    modules = case.source / "node_modules"
    if modules.exists():
        (folder / "node_modules").symlink_to(modules.resolve())
    subprocess.run(case.prepare, cwd=folder, env=environment(folder), timeout=60, check=True)
    return folder


class Repro:
    """A running `dvc repro`, its output in a file that outlives it."""

    def __init__(self, clone, number):
        self.clone, self.log = clone, clone.parent / f"repro-{number}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [shutil.which("dvc", path=environment(clone)["PATH"]), "repro"],
                cwd=clone,
                env=environment(clone),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )

    def wait_for_stage(self, pattern):
        """Return the name of the first stage that matches, once it is at work."""
        line = self._until(lambda: self._line(rf"^({pattern}): started$"), f"{pattern} to start")
        name = line[1]
        settled = time.monotonic() + SETTLE_S

        def at_work():
            scratch = (self.clone / ".potstill/scratch").glob(f"{name}/*/*")
            return any(scratch) or time.monotonic() > settled

        self._until(at_work, f"{name} to work")
        return name

    def finish(self):
        try:
            code = self.process.wait(STAGE_S * 3)
        finally:
            self.kill()
        assert code == 0, self.log.read_text()[-4000:]

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def is_done(self, name):
        return self._line(rf"^{re.escape(name)}: done") is not None

    def _line(self, pattern):
        return re.search(pattern, self.log.read_text(errors="replace"), re.MULTILINE)

    def _until(self, condition, what):
        end = time.monotonic() + STAGE_S
        while not (result := condition()):
            alive = self.process.poll() is None
            assert alive, f"dvc ended, waiting for {what}: {self.log.read_text()[-4000:]}"
            assert time.monotonic() < end, f"waited too long for {what}"
            time.sleep(0.02)
        return result


def writers_in(clone):
    """The processes that work in a folder, but for this one."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(clone) and process.pid != psutil.Process().pid:
                found.append(process)
        except psutil.Error:
            continue
    return [p for p in found if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def sums(clone):
    return (clone / "metrics/SHA256SUMS").read_text()


def test_killed_and_rerun_is_the_same_as_undisturbed(case, tmp_path):
    disturbed = clone_of(case, tmp_path / "disturbed")
    for number, pattern in enumerate(case.kill_in):
        repro = Repro(disturbed, number)
        try:
            name = repro.wait_for_stage(pattern)
        finally:
            repro.kill()
        assert not repro.is_done(name), f"{name} had ended before the kill"
        end = time.monotonic() + ORPHAN_S
        while writers_in(disturbed):
            assert time.monotonic() < end, f"still at work: {writers_in(disturbed)}"
            time.sleep(0.1)
    Repro(disturbed, "last").finish()
    undisturbed = clone_of(case, tmp_path / "undisturbed")
    Repro(undisturbed, "only").finish()
    assert sums(disturbed) == sums(undisturbed)
    assert not [p for p in disturbed.rglob("*.partial") if ".dvc" not in p.parts]
    status = subprocess.check_output(
        ["dvc", "status"], cwd=disturbed, env=environment(disturbed), text=True, timeout=120
    )
    assert "up to date" in status
