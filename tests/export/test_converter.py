"""llama.cpp's converter: missing, tampered with, killed while it was brought."""

import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from potstill.errors import InputError, MissingPackageError
from potstill.export import converter, gguf


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Return a copy of the converter that the code under test takes for the installed one."""
    tree = tmp_path / "share" / "potstill" / "llama.cpp"
    shutil.copytree(converter.check(), tree)
    monkeypatch.setattr(converter, "folder", lambda: tree)
    return tree


def test_a_missing_converter_is_refused_before_any_work(own, tiny_llama, tmp_path):
    shutil.rmtree(own)
    with pytest.raises(MissingPackageError, match="run `make setup`"):
        gguf.export(tiny_llama, tmp_path, quantisation="f16")
    assert not (tmp_path / "model.gguf").exists()


@pytest.mark.parametrize("change", ["edited", "added", "deleted", "bytecode"])
def test_a_converter_that_is_not_the_pinned_one_is_never_run(own, tiny_llama, tmp_path, change):
    if change == "deleted":
        (own / "conversion" / "llama.py").unlink()
    elif change == "edited":
        with (own / "conversion" / "base.py").open("a") as file:
            file.write("#\n")
    else:
        name = {"added": "torch.py", "bytecode": "conversion/base.pyc"}[change]
        (own / name).write_bytes(b"raise SystemExit(0)")
    with pytest.raises(InputError, match=r"SHA-256 .* pinned is"):
        gguf.export(tiny_llama, tmp_path, quantisation="f16")


def test_running_it_leaves_it_as_it_was(own, tiny_llama, tmp_path):
    gguf.export(tiny_llama, tmp_path, quantisation="f16")
    assert converter.check() == own


def test_its_table_of_architectures_is_read_without_importing_it():
    known = converter.architectures(converter.check())
    assert len(known) > 100
    assert {"LlamaForCausalLM", "Qwen3ForCausalLM", "Gemma3ForCausalLM"} <= known
    assert "conversion" not in sys.modules


def archive_of(tree, path, extra=()):
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tree, "llama_cpp_python-0.3.36/vendor/llama.cpp")
        for file in extra:
            archive.add(file, f"llama_cpp_python-0.3.36/{file.name}")
    return path


def test_bringing_takes_what_is_wanted_and_clears_what_a_killed_run_left(
    own, tmp_path, monkeypatch
):
    other = tmp_path / "CMakeLists.txt"
    other.write_text("not wanted")
    archive = archive_of(own, tmp_path / "source.tar.gz", [other])
    monkeypatch.setattr(converter, "_download", lambda out: archive)
    shutil.rmtree(own)
    left = own.parent / ".llama.cpp-killed"
    left.mkdir()
    assert converter.bring() == own
    assert [path.name for path in own.parent.iterdir()] == ["llama.cpp"]
    assert converter.check() == own
    archive.unlink()
    assert converter.bring() == own  # nothing to do: the archive is not asked for


def test_a_package_with_other_content_is_refused_and_leaves_the_old_one(own, tmp_path, monkeypatch):
    forged = tmp_path / "forged"
    shutil.copytree(own, forged)
    (forged / "conversion" / "llama.py").write_text("raise SystemExit")
    archive = archive_of(forged, tmp_path / "source.tar.gz")
    monkeypatch.setattr(converter, "_download", lambda out: archive)
    (own / "LICENSE").unlink()
    with pytest.raises(InputError, match="not the pinned one"):
        converter.bring()
    assert [path.name for path in own.parent.iterdir()] == ["llama.cpp"]
    assert (own / "conversion" / "llama.py").stat().st_size > 100


def test_pip_that_finds_nothing_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(converter, "folder", lambda: tmp_path / "llama.cpp")
    with pytest.raises(InputError, match="pip cannot fetch the source of llama-cpp-python") as got:
        converter.bring()
    assert "\n" not in str(got.value)
    assert list(tmp_path.iterdir()) == []


def test_set_up_ends_with_one_line_and_code_1(tmp_path):
    code = (
        "import sys, runpy; sys.prefix = sys.argv[1]; "
        "runpy.run_module('potstill.export.converter', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True, text=True, check=False, env={**os.environ, "PIP_NO_INDEX": "1"},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.strip().count("\n") == 0
    assert done.stderr.startswith("set-up: pip cannot fetch")


def test_the_converter_dies_with_the_stage_that_runs_it(tiny_llama, tmp_path):
    """A stage killed while it converts must leave no second writer behind."""
    code = (
        "import sys, time; from pathlib import Path; from potstill.export import gguf;"
        "gguf.export(Path(sys.argv[1]), Path(sys.argv[2]), quantisation='f16')"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tiny_llama), str(tmp_path)], cwd=tmp_path
    )
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    child = _wait_for(lambda: children.read_text().split())[0]
    # it has set its death signal once torch is on its way
    _wait_for(lambda: "libtorch" in Path(f"/proc/{child}/maps").read_text())
    parent.kill()
    parent.wait()
    _wait_for(lambda: _is_gone(int(child)))
    assert not (tmp_path / "model.gguf").exists()


def _is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _wait_for(found, seconds=60):
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)
    return value
