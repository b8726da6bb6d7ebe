"""Preflight finds what would stop the pipeline, names it in one line, and is fast."""

import importlib.metadata
import re
import shutil
import sys
import time
from pathlib import Path

import pytest
import yaml
from potstill.cli import preflight, presets

ROOT = Path(__file__).parents[2]
needs_pipeline = pytest.mark.skipif(not (ROOT / "dvc.yaml").exists(), reason="no dvc.yaml here")

DVC_YAML = """
stages:
  stage_one: {cmd: python -m stages.stage_one --params stage_one --out x}
  stage_two:
    foreach: ${stage_two.variants}
    do: {cmd: "python -m stages.stage_two --params stage_two.variants.${key} --in ${other.path}"}
  stage_three:
    foreach: ${stage_two.variants}
    do: {cmd: "python -m stages.stage_three --params stage_three --out a/${key}"}
  stage_four:
    foreach: [a, b]
    do: {cmd: "python -m stages.stage_four --params stage_four.${item}"}
"""
SCRIPT = "from potstill.params import Section\n\n\nclass Params(Section):\n    steps: int\n"
PARAMS = {
    "seed": 1,
    "other": {"path": "x"},
    "stage_one": {"steps": 1},
    "stage_two": {"variants": {"kd": {"steps": 1}, "ce": {"steps": 2}}},
    "stage_three": {"steps": 1},
    "stage_four": {"a": {"steps": 1}, "b": {"steps": 1}},
}


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Write a project and return a function that checks it with other settings."""
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/__init__.py").touch()
    for name in ("one", "two", "three", "four"):
        (tmp_path / f"stages/stage_{name}.py").write_text(SCRIPT)
    (tmp_path / "dvc.yaml").write_text(DVC_YAML)
    before = {name for name in sys.modules if name.split(".")[0] == "stages"}
    for name in before:
        monkeypatch.delitem(sys.modules, name)

    def run(**changes):
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(PARAMS | changes))
        return preflight.check_settings(tmp_path / "dvc.yaml", tmp_path / "params.yaml")

    run.folder = tmp_path
    yield run
    for name in [name for name in sys.modules if name.split(".")[0] == "stages"]:
        del sys.modules[name]


def test_good_settings_have_no_problem(check):
    assert check() == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"stage_one": {"stepz": 1, "steps": 1}}, ["unknown key stage_one.stepz"]),
        ({"stage_one": {"steps": "1"}}, ["stage_one.steps: got '1' (str)"]),
        (
            {"stage_two": {"variants": {"kd": {}, "ce": {"steps": 0.5}}}},
            ["stage_two.variants.ce.steps: got 0.5", "stage_two.variants.kd.steps is missing"],
        ),
        # stage_three loops over the same entries, and has settings of its own.
        ({"stage_two": {"variantz": {}}}, ["no section stage_two.variants; allowed: variantz"]),
        ({"stage_four": {"a": {"steps": 1}}}, ["no section stage_four.b"]),
        ({"stage_onne": {}}, ["unknown section stage_onne; allowed: .*did you mean stage_one"]),
        ({"stage_two": {"variants": {}}}, []),
    ],
)
def test_every_problem_is_one_line(check, changes, named):
    problems = check(**changes)
    assert len(problems) == len(named)
    for problem, text in zip(problems, named, strict=True):
        assert re.search(text if ".*" in text else re.escape(text), problem), problem
        assert "\n" not in problem


def test_a_stage_that_cannot_be_imported_is_named(check):
    (check.folder / "stages/stage_one.py").write_text("import no_such_package")
    (check.folder / "stages/stage_two.py").write_text("steps = 1")
    (check.folder / "stages/stage_three.py").unlink()
    one, two, three = check()
    assert "stages/stage_one.py" in one
    assert "no_such_package" in one
    assert "Params" in two
    assert "stage_three" in three


def test_missing_and_wrong_packages_are_named_and_markers_honoured(tmp_path):
    installed = importlib.metadata.version("pytest")
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        f"# comment\npytest=={installed}\n    # via\nPyYAML>=1  # eol\n"
        "no-such-package==1.2 ; python_version >= '3'\n"
        "no-such-other==1 ; sys_platform == 'win32'\n"
        "--index-url https://example.org\n"
        "ruamel_yaml==0.1 \\\n    --hash=sha256:00\n"
        "not a requirement\n"
    )
    missing, wrong, unreadable = preflight.check_packages(lock)
    assert missing.startswith("no-such-package: ==1.2 is wanted, nothing is installed: run `make")
    assert wrong.startswith("ruamel_yaml: ==0.1 is wanted, 0.")
    assert "line 10 is not a requirement" in unreadable


def test_a_local_build_of_the_wanted_version_is_that_version(tmp_path, monkeypatch):
    (tmp_path / "lock").write_text("torch==2.13.0\n")
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.13.0+cpu")
    assert preflight.check_packages(tmp_path / "lock") == []


def test_missing_tools_are_named_with_their_package(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None if name in ("node", "g++") else name)
    node, compiler = preflight.check_tools()
    assert node.startswith("node is missing")
    assert "Debian package nodejs" in node
    assert "Debian package g++" in compiler


@pytest.mark.parametrize("version", ["v18.19.0", "", "nonsense"])
def test_an_old_or_broken_node_is_named(tmp_path, monkeypatch, version):
    for name in ("node", "npm", "cmake", "g++"):
        (tmp_path / name).write_text(f"#!/bin/sh\necho {version}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (problem,) = preflight.check_tools()
    assert problem.startswith(f"node is {version or 'broken'}, 20 or later")


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("deps: [a", "deps: [a", []),
        ("outs: [models/a", "outs: [models/b", ["reader reads models/a, which no stage makes"]),
        ("deps: [a", "deps: [b", ["maker reads b, which is missing"]),
        ("cmd: two", "cmd: '${none}'", ["none"]),
        ("models/a/x]", "data/left]", ["reader reads data/left, which no stage makes"]),
        ("outs: [o]", "outs: [models/a/x]", ["overlap"]),
        ("deps: [a", "deps: [o, a", ["both a dependency and an output"]),
    ],
)
def test_what_a_stage_reads_is_there_or_made(tmp_path, old, new, named):
    (tmp_path / "a").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/left").touch()  # by a variant that is no more
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n")
    text = """
stages:
  maker: {cmd: one, deps: [a], outs: [models/a]}
  reader: {cmd: two, deps: [models, models/a, models/a/x], outs: [o]}
"""
    assert old in text
    (tmp_path / "dvc.yaml").write_text(text.replace(old, new))
    problems = preflight.check_graph(tmp_path)
    assert len(problems) >= len(named)
    assert bool(problems) == bool(named)
    for problem, part in zip(problems, named, strict=False):
        assert part in problem
        assert "\n" not in problem


@needs_pipeline
def test_the_project_itself_passes_in_under_3_s(monkeypatch):
    monkeypatch.chdir(ROOT)
    started = time.perf_counter()
    assert preflight.check_settings(Path("dvc.yaml"), Path("params.yaml")) == []
    assert preflight.check_graph(Path()) == []
    assert time.perf_counter() - started < 3


@needs_pipeline
@pytest.mark.parametrize("preset", sorted((ROOT / "presets").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_preset_loads_into_every_stages_settings(tmp_path, monkeypatch, preset):
    monkeypatch.chdir(ROOT)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    presets.apply(preset, tmp_path / "params.yaml")
    assert preflight.check_settings(ROOT / "dvc.yaml", tmp_path / "params.yaml") == []
