"""SHA256SUMS: coreutils can check it, and what is written comes back. Oracle: `sha256sum`."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from potstill import hashes
from potstill.errors import InputError

ODD_NAMES = ["a/x", "a-b/x", "a.b", "a", "with space/é", "back\\slash", "new\nline", "c\rr", "#no"]


def write_tree(root, names):
    for name in names:
        path = root / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_tree(tmp_path / "data", [name for name in ODD_NAMES if name != "a"])
    write_tree(tmp_path / "models", ["m/w.bin"])
    (tmp_path / "models/.gitignore").write_text("/m")
    write_tree(tmp_path / "models/.m.partial", ["w.bin"])
    (tmp_path / "models/dangling").symlink_to("nowhere")
    return tmp_path


def record(tree):
    sums = tree / "SHA256SUMS"
    folders = [tree / "models", tree / "data"]
    counts = hashes.write(sums, [folder.relative_to(tree) for folder in folders])
    return sums, counts


def test_coreutils_checks_what_was_written(tree):
    sums, _ = record(tree)
    done = subprocess.run(["sha256sum", "--strict", "-c", sums], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    (tree / "data/#no").write_text("changed")
    done = subprocess.run(["sha256sum", "-c", sums], capture_output=True, check=False)
    assert done.returncode == 1


def test_what_is_written_comes_back_sorted_and_complete(tree):
    sums, (num_files, total_bytes) = record(tree)
    entries = list(hashes.read(sums))
    paths = [entry.path for entry in entries]
    assert paths == sorted(paths)
    assert set(paths) == {f"data/{n}" for n in ODD_NAMES if n != "a"} | {"models/m/w.bin"}
    assert num_files == len(entries)
    assert total_bytes == sum((tree / path).stat().st_size for path in paths)
    assert all(entry.num_bytes == (tree / entry.path).stat().st_size for entry in entries)


@given(st.lists(st.from_regex(r"[a-c.#/-]{1,6}", fullmatch=True), min_size=1, max_size=8))
def test_the_walk_is_in_the_order_of_the_paths(tmp_path_factory, names):
    root = tmp_path_factory.mktemp("walk")
    names = [n.strip("/") for n in names if not {"", ".", ".."} & set(n.strip("/").split("/"))]
    for name in names:
        path = root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        except (FileExistsError, NotADirectoryError):
            pass  # one name is the other's folder
    paths = [p.as_posix() for p in hashes.walk(root)]
    assert paths == sorted(p.as_posix() for p in root.rglob("*") if p.is_file())


def test_a_list_made_by_coreutils_is_read(tree):
    text = subprocess.run(
        ["sha256sum", "data/back\\slash", "data/#no"], capture_output=True, check=True
    ).stdout
    (tree / "S").write_bytes(text)
    entries = list(hashes.read(tree / "S"))
    assert [(e.path, e.num_bytes) for e in entries] == [
        ("data/back\\slash", None),
        ("data/#no", None),
    ]


@pytest.mark.parametrize(
    "line", ["abc  data/x", "f" * 64 + " data/x", "f" * 64 + "  ", "<<<<<<< HEAD"]
)
def test_a_damaged_line_is_named(tmp_path, line):
    (tmp_path / "S").write_text(f"# 1 bytes\n{'a' * 64}  ok\n{line}\n")
    with pytest.raises(InputError, match="S line 3 is not"):
        list(hashes.read(tmp_path / "S"))


def test_a_missing_list_is_one_line(tmp_path):
    with pytest.raises(InputError, match="dvc repro"):
        list(hashes.read(tmp_path / "S"))
