"""The cases' private folders where nothing can be mounted: limits, removal, what ends leave behind.

That no program reaches another's folder is tested in test_refused.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from potstill.sandbox.inside import folders, limits

from .test_refused import HERE, NAMESPACES

MB = 1 << 20


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "case"
    path.mkdir()
    return path


def is_within(path, mb=4):
    return folders.is_within(str(path), os.getpid(), mb * MB)


def test_folder_that_is_not_there_is_within_limits_and_removed(tmp_path):
    assert is_within(tmp_path / "none")
    folders.remove(str(tmp_path / "none"))


def test_all_below_counts(folder):
    (folder / "a/b").mkdir(parents=True)
    for name in ("a/x", "a/b/y"):
        (folder / name).write_bytes(bytes(2 * MB))
    assert is_within(folder)
    (folder / "z").write_bytes(bytes(2 * MB))
    assert not is_within(folder)


def test_each_byte_of_a_linked_file_counts_once(folder):
    (folder / "x").write_bytes(bytes(4 * MB))
    (folder / "y").hardlink_to(folder / "x")
    assert is_within(folder)
    (folder / "z").write_bytes(b"1")
    assert not is_within(folder)


def test_holes_and_files_behind_links_do_not_count(folder, tmp_path):
    (tmp_path / "large").write_bytes(bytes(9 * MB))
    (folder / "link").symlink_to(tmp_path / "large")
    (folder / "links").symlink_to(tmp_path)
    with (folder / "hole").open("wb") as file:
        file.truncate(1 << 30)
    assert is_within(folder)


def test_deleted_files_count_while_they_are_open(folder):
    with (folder / "x").open("wb") as file:
        file.write(bytes(9 * MB))
        (folder / "x").unlink()
        assert not is_within(folder)
    assert is_within(folder)


def test_number_of_files_and_depth_are_limited(folder):
    for number in range(limits.NUM_FILES - 1):  # the folder is one as well
        (folder / str(number)).touch()
    assert is_within(folder)
    (folder / "more").touch()
    assert not is_within(folder)
    folders.remove(str(folder))
    (folder / "/".join("a" * 300)).mkdir(parents=True)
    assert not is_within(folder)


def test_deep_and_locked_folders_are_removed_and_links_are_not_followed(folder, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/file").touch()
    (folder / "link").symlink_to(tmp_path / "kept")
    here = Path.cwd()
    os.chdir(folder)
    for _ in range(3000):  # no path is as long as this
        Path("a").mkdir()
        os.chdir("a")
    os.chdir(here)
    (folder / "locked").mkdir()
    (folder / "locked/inner").mkdir()
    (folder / "locked/inner").chmod(0)
    (folder / "locked").chmod(0o400)
    folders.remove(str(folder))
    assert not folder.exists()
    assert (tmp_path / "kept/file").exists()


def test_servers_folder_is_held_and_swept_when_its_holder_has_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "BASES", (str(tmp_path / "none"), str(tmp_path)))
    reader, writer = os.pipe()
    holder = os.fork()
    if holder == 0:
        path = folders.make(f"{folders.PREFIX}held")
        Path(path, "file").touch()
        os.write(writer, path.encode())
        os.read(os.pipe()[0], 1)
    path = Path(os.read(reader, 4096).decode())
    assert path.parent == tmp_path
    for name in ("first", "second"):
        mine = Path(folders.make(f"{folders.PREFIX}{name}"))
        assert mine.stat().st_mode & 0o777 == 0o700
        assert path.exists() == (name == "first")
        os.kill(holder, 9) if name == "first" else None
        os.waitpid(holder, 0) if name == "first" else None
    os.close(reader)
    os.close(writer)


def test_no_place_for_folders_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "BASES", (str(tmp_path / "none"),))
    with pytest.raises(OSError, match="no private folder for programs"):
        folders.make("x")


@pytest.mark.slow
def test_nothing_is_left_however_a_case_ends():
    """With the tests' own Python, which as root's may lie where nobody else can look."""
    command = [sys.executable, *(str(HERE / name) for name in ("refuse.py",)), NAMESPACES]
    done = subprocess.run(
        [*command, str(HERE / "lives.py")], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for end in ("limit", "program", "server", "starter", "all"):
        assert found[end] == [], end
    assert found["client"] == [0, 0]
    # The next server removes it: this one's, or one of a test beside it, at once.
    assert found["client and all"] in ([1, 0], [0, 0])
    if os.getuid() == 0:
        assert found["user"] == "65534\n"
    assert 1 <= found["threads"] < 40  # the limit is 16 of its own
