"""The sandbox where the kernel refuses a part of it, by a real filter, as root and as nobody.

As in a container with its engine's default profile. Not tested: kernels without seccomp.
"""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import _quickjs
import potstill
import pytest
from potstill.sandbox import run_many
from potstill.sandbox.inside.folders import BASES, PREFIX

from .filing import CASES, verdict

pytestmark = pytest.mark.xdist_group("nobody")  # their processes count together
HERE = Path(__file__).parent
NAMESPACES = "unshare,setns,mount,umount2,pivot_root,mount_setattr"
SYSTEM_PYTHON = Path("/usr/bin/python3.11")  # one that every user may start
NOBODY = 65534


@pytest.fixture(scope="module")
def readable():
    """Return a folder that every user can read, with the sandbox alone."""
    folder = Path(tempfile.mkdtemp(prefix="potstill-sandbox-"))
    source = Path(potstill.__file__).parent
    (folder / "potstill").mkdir()
    for name in ("__init__.py", "errors.py"):
        shutil.copy(source / name, folder / "potstill" / name)
    shutil.copytree(source / "sandbox", folder / "potstill/sandbox")
    shutil.copy(_quickjs.__file__, folder)
    for name in ("refuse.py", "confined.py", "attacks.py", "filing.py"):
        shutil.copy(HERE / name, folder)
    subprocess.run(["chmod", "-R", "a+rX", str(folder)], check=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def with_all_layers():
    """Return the verdicts on programs that work with files; they are the same with fewer layers."""
    verdicts = [verdict(result) for result in run_many(CASES, mode="all")]
    assert sum(ok for ok, *_ in verdicts) == len(CASES) - 4, "four end with an error"
    return verdicts


@pytest.fixture(autouse=True)
def crowd():
    """Other processes of the ordinary user's, which must not take a program's threads."""
    sleepers = [
        subprocess.Popen(["sleep", "300"], user=NOBODY, group=NOBODY, extra_groups=[])
        for _ in range(25 if os.getuid() == 0 else 0)
    ]
    yield
    for sleeper in sleepers:
        sleeper.kill()
        sleeper.wait()


def servers(client):
    """Return the folders in which a client's servers keep those of their cases."""
    return {path for base in BASES for path in Path(base).glob(f"{PREFIX}{client}-*")}


def run(folder, refused, *, user=None):
    command = [str(folder / name) for name in ("refuse.py", "confined.py")]
    command = [str(SYSTEM_PYTHON), command[0], refused, command[1]]
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    temporary.chmod(0o777)
    done = subprocess.run(
        command, cwd="/", env={"PYTHONPATH": str(folder), "PATH": os.environ["PATH"],
                               "TMPDIR": str(temporary)},
        user=user, group=user, extra_groups=[] if user else None,
        capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list(temporary.iterdir()) == []
    alive = subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, check=False)
    assert alive.returncode == 1, "a process was left"
    found = json.loads(done.stdout.splitlines()[-1])
    assert servers(found["pid"]) == set()
    return found


needs_python = pytest.mark.skipif(
    not SYSTEM_PYTHON.exists() or os.getuid() != 0,
    reason=f"needs root, to become another user, and {SYSTEM_PYTHON}",
)


@needs_python
@pytest.mark.slow
@pytest.mark.parametrize(
    ("refused", "user"),
    [(NAMESPACES, None), (NAMESPACES, NOBODY), ("", NOBODY)],
    ids=["refused-root", "refused-nobody", "nobody"],
)
def test_programs_run_and_no_attack_succeeds(readable, with_all_layers, refused, user):
    found = run(readable, refused, user=user)
    assert found["uid"] == (user or 0)
    assert found["minimum"] is None
    assert "landlock" in found["layers"]
    if refused:
        assert set(found["missing"]) == {"user", "mount", "net", "ipc", "pid", "tmpfs"}
        assert "landlock" in found["all"]
        assert "lacks user, mount, net" in found["all"]
    assert found["honest"] == [
        [True, "2\n", ""], [True, "2,4", ""], [True, "", ""], [True, "", ""], [True, "x\n", ""],
    ]  # fmt: skip
    # the number of a process that it can do nothing to
    assert found["won"] == (["processes: see a parent"] if refused else [])
    assert found["canary"] == "PWNED by reading"
    assert (found["slow"], found["large"], found["again"]) == ("cpu", False, "7\n")
    assert "PWNED" not in found["kill"]
    assert 1 <= int(found["threads"]) < 40  # the limit is 16 of its own
    if refused:
        assert found["pdeathsig"] == "-1\n"  # else it could outlive its server
        assert found["hide"] == "-1\n"  # else it could hide deleted files
        assert found["neighbour"] == ["True kept\n", "tried\n", False]
    assert found["tmp"] == ("PermissionError\n" if refused else "/tmp\n")
    for case, theirs, ours in zip(CASES, with_all_layers, found["filing"], strict=True):
        assert ours == theirs, case.code


@needs_python
@pytest.mark.parametrize("user", [None, NOBODY], ids=["root", "nobody"])
def test_without_landlock_and_namespaces_nothing_runs(readable, user):
    found = run(readable, f"{NAMESPACES},landlock_create_ruleset", user=user)
    for mode in ("minimum", "all"):
        assert "lacks landlock" in found[mode]
        assert "one of landlock and mount must be in force" in found[mode]
        assert "\n" not in found[mode]


@needs_python
@pytest.mark.slow
def test_without_landlock_namespaces_are_enough(readable):
    found = run(readable, "landlock_create_ruleset")
    assert found["minimum"] is None
    assert "lacks landlock" in found["all"]
    assert found["won"] == []
