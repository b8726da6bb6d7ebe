"""Verify names every damaged file, and what it tells to do mends it.

The project is a real one of DVC with a cache on disk; remotes are tests/test_remote.py's.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from potstill.cli import verify
from potstill.errors import InputError

from tests import tiny_project
from tests.tiny_project import call

pytestmark = pytest.mark.slow

WEIGHTS = "models/artefacts/q8/weights.bin"
PROMPTS = "data/prompts.jsonl"


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    return tiny_project.make(tmp_path_factory.mktemp("built") / "project")


@pytest.fixture
def project(built, tmp_path, monkeypatch):
    folder = tmp_path / "project"
    shutil.copytree(built, folder, symlinks=True)
    monkeypatch.chdir(folder)
    return folder


def problems(*paths, cache=False):
    counts = verify.Counts()
    sums = Path("metrics/SHA256SUMS")
    lines = list(verify.verify(sums, [Path(p) for p in paths], cache=cache, counts=counts))
    assert counts.bad == len(lines)
    return lines


def cache_object(path):
    stored = verify.Objects(Path("dvc.lock")).find(path)
    assert stored.path.is_file()
    return stored.path


def flip_a_bit(path, position=1000):
    """Damage a file as a disk does: size, mode and times stay."""
    mode, times = path.stat().st_mode, path.stat()
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(min(position, times.st_size - 1))
        (byte,) = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))
    path.chmod(mode)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def follow(line):
    """Run the commands that a line tells, in order."""
    commands = re.findall(r"`((?:rm|dvc) [^`]+)`", line)
    assert commands
    for command in commands[:2]:
        call(Path(), "sh", "-c", command)


@pytest.mark.parametrize("cache", [False, True])
def test_an_intact_project_passes(project, cache):
    assert problems(cache=cache) == []


def damage(file, kind):
    if kind == "flip":
        flip_a_bit(file)
        return
    content = file.read_bytes()
    file.unlink()
    if kind == "folder":
        file.mkdir()
    elif kind != "delete":
        file.write_bytes({"truncate": content[:-1], "grow": content + b"x", "empty": b""}[kind])


@pytest.mark.parametrize(
    ("path", "kind", "named"),
    [
        (WEIGHTS, "flip", "differs: 300000 bytes"),
        (WEIGHTS, "truncate", "truncated: 299999 bytes"),
        (WEIGHTS, "delete", "missing"),
        (WEIGHTS, "folder", "missing"),
        (PROMPTS, "grow", "differs: 10 bytes"),
        (PROMPTS, "empty", "truncated: 0 bytes"),
    ],
)
def test_a_damaged_file_is_named(project, path, kind, named):
    damage(project / path, kind)
    (line,) = problems()
    assert line.startswith(f"{path}: {named}")
    assert "\n" not in line


@pytest.mark.parametrize(
    ("path", "kind"), [(WEIGHTS, "flip"), (PROMPTS, "grow"), (PROMPTS, "delete")]
)
def test_what_is_told_to_do_mends_the_damage(project, path, kind):
    damage(project / path, kind)
    follow(problems()[0])
    assert problems(cache=True) == []


@pytest.mark.parametrize("path", [WEIGHTS, PROMPTS])
def test_a_damaged_cache_object_is_named_with_its_path(project, path):
    stored = cache_object(path)
    flip_a_bit(stored)
    assert stored.stat().st_mode & 0o777 == 0o444
    assert problems() == []
    (line,) = problems(cache=True)
    assert line.startswith(f"{path}: damaged in the cache: {stored} differs")
    assert f"rm -f {stored} {path}" in line
    (project / path).unlink()
    call(project, "dvc", "checkout")  # DVC hands the damage out without a word
    assert problems() == [line]


def test_a_damaged_listing_of_a_folder_is_named(project):
    lock = (project / "dvc.lock").read_text()
    md5 = re.search(r"path: models/artefacts/q8\n +hash: md5\n +md5: (\S+)", lock)[1]
    (listing,) = (project / ".dvc/cache").rglob(md5[2:])
    flip_a_bit(listing, 30)
    with pytest.raises(InputError, match=rf"q8: the listing .*{re.escape(str(listing))}"):
        problems(cache=True)


def test_paths_restrict_what_is_checked(project):
    shutil.rmtree(project / "models/artefacts/q4")
    assert len(problems()) == 2
    assert problems("models/artefacts/q8", "data") == []
    assert len(problems("models")) == 2
    assert problems(PROMPTS) == []
    with pytest.raises(InputError, match="names nothing at or below models/artefacts/q"):
        problems("models/artefacts/q")


def test_a_file_that_is_neither_here_nor_in_the_cache_is_to_be_pulled(project):
    shutil.rmtree(project / "models/artefacts/q4")
    shutil.rmtree(project / ".dvc/cache")
    lines = problems("models/artefacts/q4")
    assert len(lines) == 2
    assert all("missing" in line and "`dvc pull models/artefacts/q4`" in line for line in lines)


def test_lists_of_two_runs_are_told_apart_from_damage(project):
    sums = project / "metrics/SHA256SUMS"
    text = sums.read_text()
    (project / "params.yaml").write_text(tiny_project.PARAMS_YAML.replace("two words", "three"))
    call(project, "dvc", "repro", "-q")
    sums.write_text(text)
    assert all("two different runs" in line for line in problems())


def test_a_file_of_no_stage_is_named(project):
    with (project / "metrics/SHA256SUMS").open("a") as sums:
        sums.write(f"{'0' * 64}  models/left/over\n")
    (line,) = problems()
    assert line.startswith("models/left/over: missing; no stage in dvc.lock makes it")


def test_a_cache_elsewhere_is_found(project, tmp_path):
    (project / ".dvc/cache").rename(tmp_path / "shared")
    call(project, "dvc", "config", "--local", "cache.dir", str(tmp_path / "shared"))
    assert problems(cache=True) == []
    assert cache_object(WEIGHTS).is_relative_to(tmp_path / "shared")


def test_the_command_exits_1_on_damage_and_0_without(project):
    assert tiny_project.verify(project) == (0, "5 files checked, 0 bad\n")
    flip_a_bit(project / WEIGHTS)
    code, text = tiny_project.verify(project)
    assert code == 1
    assert text.splitlines()[-1] == "5 files checked, 1 bad"
    assert tiny_project.verify(project, "nowhere")[0] == 1


def test_memory_does_not_grow_with_the_files(project):
    script = (
        "import resource, sys; from potstill.cli.__main__ import main; code = main(['verify']);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )

    def peak_kb():
        command = [tiny_project.sys.executable, "-c", script]
        done = subprocess.run(
            command, env=tiny_project.environment(), capture_output=True, text=True, check=True
        )
        return int(done.stderr.split()[-1])

    small = peak_kb()
    (project / "data/big").write_bytes(b"\0")
    with (project / "data/big").open("r+b") as file:
        file.truncate(200 << 20)
    big = f"{verify.sha256_file(project / 'data/big')}  data/big\n"
    with (project / "metrics/SHA256SUMS").open("a") as sums:
        sums.write(big)
    assert peak_kb() < small + 20_000


def test_an_artefact_from_elsewhere_is_checked_against_its_own_record(
    project, tiny_gguf, monkeypatch
):
    shutil.copytree(tiny_gguf("llama", "q8_0"), "mine")
    assert problems("mine") == []
    assert problems("mine", PROMPTS) == []
    flip_a_bit(Path("mine/model.gguf"))
    (line,) = problems("mine", PROMPTS)
    assert line.startswith("mine/model.gguf has SHA-256 ")
    monkeypatch.chdir("mine")  # and where there is no run at all
    (line,) = problems(".")
    assert line.startswith("model.gguf has SHA-256 ")
    with pytest.raises(InputError, match="SHA256SUMS is missing"):
        problems("tokenizer.json")


def test_a_folder_that_is_no_artefact_is_named_where_there_is_no_list(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="adopted/none: no artefact"):
        problems("adopted/none")


def test_without_dvc_a_bad_file_is_still_named(project, monkeypatch):
    monkeypatch.setitem(sys.modules, "dvc.repo", None)
    flip_a_bit(Path(PROMPTS), 3)
    (line,) = problems(PROMPTS)
    assert line.startswith(f"{PROMPTS}: differs")
    with pytest.raises(InputError, match="needs the package dvc"):
        problems(cache=True)
