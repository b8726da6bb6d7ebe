"""The small install: what a person with an artefact needs, without torch, transformers, TRL or DVC.

An empty virtual environment gets the wheel of this checkout, as pip installs it, and links to the
distributions that its metadata ask for and to those that these ask for: nothing else can be
imported there. What pip's solver would choose, and that llama-cpp-python builds, is not tried here.
"""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from potstill import files

from tests.tiny_project import ROOT

pytestmark = pytest.mark.slow

PIPELINE_ONLY = ("torch", "transformers", "trl", "peft", "dvc", "datasets", "onnx", "scipy")


def pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def closure(names):
    """Return the distributions that some ask for, themselves among them."""
    found, todo = {}, list(names)
    while todo:
        wanted = Requirement(todo.pop())
        if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            continue
        key = re.sub(r"[-_.]+", "-", wanted.name).lower()
        if key not in found:
            found[key] = importlib.metadata.distribution(wanted.name)
            todo += found[key].requires or []
    return found


def link_all(distributions, site):
    """Give the files of distributions a second name in another site-packages."""
    for distribution in distributions:
        tops = {Path(str(file)).parts[0] for file in distribution.files}
        for top in tops - {"..", "__pycache__"}:
            target, source = site / top, distribution.locate_file(top)
            if not target.exists():
                target.symlink_to(source)


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """Return the Python of the environment."""
    folder = tmp_path_factory.mktemp("small")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "requirements.in"):
        shutil.copy(ROOT / name, source)
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "lib", source / "lib", ignore=ignore)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", folder, source], check=True, timeout=250)
    (wheel,) = folder.glob("potstill-*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    (site,) = (folder / "venv/lib").glob("python*/site-packages")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", site, wheel]
    subprocess.run(command, check=True, timeout=100)
    link_all(closure(pyproject()["dependencies"]).values(), site)
    return folder / "venv/bin/python"


@pytest.fixture
def potstill(python, tmp_path):
    """Return a function: arguments -> exit code, stdout, stderr, in an empty folder."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}

    def call(*arguments, text=""):
        done = subprocess.run(
            [python, "-m", "potstill.cli", *map(str, arguments)],
            cwd=tmp_path,
            env=kept,
            input=text,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    return call


def test_what_it_asks_for_is_asked_for_by_the_pipeline_too():
    lines = (ROOT / "requirements.in").read_text(encoding="utf-8").splitlines()
    stated = [line.partition("#")[0].strip() for line in lines]
    asked = [Requirement(line) for line in stated if line]
    pipeline = {f"{each.name}{each.specifier}" for each in asked}  # whatever extras it adds
    assert set(pyproject()["dependencies"]) <= pipeline


def test_nothing_of_the_pipeline_can_be_imported(python):
    code = (
        "import importlib.util as u, sys\n"
        f"print([n for n in {PIPELINE_ONLY!r} if u.find_spec(n)])\n"
        "import potstill; print(potstill.__file__)"
    )
    done = subprocess.run(
        [python, "-c", code], capture_output=True, text=True, check=True, env={}
    ).stdout.splitlines()
    assert done[0] == "[]"
    assert Path(done[1]).is_relative_to(python.parents[1])


@pytest.mark.parametrize("command", ["chat", "score", "adopt", "compare", "verify", "check", "run"])
def test_a_command_explains_itself(potstill, command):
    code, out, err = potstill(command, "--help")
    assert (code, err) == (0, "")
    assert f"usage: potstill {command}" in out


@pytest.mark.parametrize("format_", ["gguf", "onnx"])
def test_a_strangers_model_is_adopted_verified_talked_with_scored_and_compared(
    potstill, tiny_checkpoint, tiny_gguf, tmp_path, format_
):
    if format_ == "gguf":
        source = tiny_gguf("llama", "q8_0") / "model.gguf"
    else:
        from potstill.export import build

        source = tmp_path / "onnx"
        build.build(tiny_checkpoint("llama"), source, format="onnx", quantisation="fp32")
        (source / "artifact.json").unlink()
        shutil.copy(tiny_checkpoint("llama") / "config.json", source)
    assert potstill("adopt", source, "--out", "a")[:2] == (0, "a\n")
    count = len(files.read_json(tmp_path / "a/artifact.json")["files"])
    assert potstill("verify", "a") == (0, f"{count} files checked, 0 bad\n", "")
    code, out, err = potstill("chat", "a", "--max-tokens", "5", text="hello\n")
    assert code == 0, err
    assert "5 tokens, the first after" in err
    for out in ("s", "t"):
        flags = ["--tasks", "humaneval", "--limit", "2", "--max-tokens", "5", "--out", out]
        code, shown, err = potstill("score", "a", *flags)
        assert (code, err) == (1, "")
        assert "100.0% of the answers were cut off" in shown  # a random model never ends by itself
    tasks = [row["task"] for row in files.read_jsonl(tmp_path / "s/rows.jsonl")]
    assert tasks == ["humaneval", "humaneval"]
    code, shown, err = potstill("compare", "s", "t")
    assert (code, err) == (0, "")
    assert shown.splitlines()[2].split()[:6] == ["humaneval", "2", "0", "0", "0", "0"]


def test_katas_without_their_javascript_parser_are_not_run(potstill, tiny_gguf):
    code, out, err = potstill("score", tiny_gguf("llama", "q8_0"), "--tasks", "katas")
    assert (code, err) == (1, "")
    assert "katas           not run: the JavaScript parser acorn is not installed: " in out


def test_a_damaged_file_of_an_artefact_is_named(potstill, tiny_gguf, tmp_path):
    copy = shutil.copytree(tiny_gguf("llama", "q8_0"), tmp_path / "a")
    (copy / "model.gguf").write_bytes((copy / "model.gguf").read_bytes()[:999])
    code, out, err = potstill("verify", "a")
    assert (code, err) == (1, "")
    assert out.splitlines()[0].startswith("a/model.gguf has 999 bytes")
    assert out.splitlines()[1].endswith("1 bad")


@pytest.mark.parametrize(
    ("arguments", "code", "lacks"),
    [
        (["preset", "p.yaml"], 1, "the package ruamel, which is not installed"),
        (["compare", "a@main", "b@main"], 2, "the package dvc, which is not installed"),
        (["adopt", "checkpoint"], 2, "llama.cpp's converter is not in "),
    ],
)
def test_what_needs_the_pipeline_says_what_brings_it(
    potstill, tiny_llama, tmp_path, arguments, code, lacks
):
    if "adopt" in arguments:
        shutil.copytree(tiny_llama, tmp_path / "checkpoint")
    got, out, err = potstill(*arguments)
    assert (got, out, err.count("\n")) == (code, "", 1), err
    assert lacks in err
    assert "`make setup`" in err
    assert "adopt" in arguments or "`pip install '.[pipeline]'`" in err
