"""Find what would stop the pipeline, before it starts: settings, packages, system tools.

Everything here is looked up, nothing is installed or changed. The tools can be checked by a bare
Python: this module imports no package at its top.
"""

import importlib
import importlib.metadata
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from potstill.errors import InputError

# Command, Debian package, what it is for.
TOOLS = (
    ("node", "nodejs", "parses and runs JavaScript"),
    ("npm", "npm", "installs the JavaScript parser"),
    ("cmake", "cmake", "builds llama-cpp-python"),
    ("g++", "g++", "builds llama-cpp-python"),
)
NODE_MAJOR = 20
OUTPUTS = {"data", "models", "metrics"}


def check_all() -> list[str]:
    """Return every problem of this checkout as one line each; run from the project's root."""
    problems = [*check_tools(), *check_packages(Path("requirements.lock"))]
    if problems:  # without its packages the rest cannot even be imported
        return problems
    problems = check_settings(Path("dvc.yaml"), Path("params.yaml"))
    return problems or check_graph(Path())


def check_tools() -> list[str]:
    """Return the system tools that are missing or too old, with the Debian package of each."""
    problems = [
        f"{command} is missing (it {purpose}): install the Debian package {package}"
        for command, package, purpose in TOOLS
        if shutil.which(command) is None
    ]
    if shutil.which("node"):
        found = subprocess.run(
            ["node", "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout.strip()
        major = re.match(r"v(\d+)", found)
        if major is None or int(major[1]) < NODE_MAJOR:
            problems.append(
                f"node is {found or 'broken'}, {NODE_MAJOR} or later is needed: "
                "install a newer Debian package nodejs, or the one from nodejs.org"
            )
    return problems


def check_packages(lock: Path) -> list[str]:
    """Return the packages of requirements.lock that are missing or have another version."""
    try:
        from packaging.requirements import InvalidRequirement, Requirement
    except ImportError:
        return ["the Python package packaging is missing: run `make setup`"]
    if not lock.is_file():
        return [f"{lock} is missing: run from the project's root"]
    problems = []
    for number, line in enumerate(lock.read_text(encoding="utf-8").splitlines(), 1):
        text = line.partition(" #")[0].partition(" --hash")[0].strip(" \\")
        if not text or text.startswith(("#", "-")):
            continue
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            problems.append(f"{lock} line {number} is not a requirement: {text}")
            continue
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        try:
            got = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            got = "nothing"
        if got == "nothing" or not wanted.specifier.contains(got, prereleases=True):
            problems.append(
                f"{wanted.name}: {wanted.specifier} is wanted, {got} is installed: run `make setup`"
            )
    return problems


def check_settings(dvc_yaml: Path, params_file: Path) -> list[str]:
    """Return what is wrong with params.yaml: each section against its stage's `Params`."""
    from potstill import params

    pipeline, tree = params.read_params(dvc_yaml), params.read_params(params_file)
    stages = pipeline.get("stages")
    if not isinstance(stages, dict):
        return [f"{dvc_yaml} has no stages: restore it with `git checkout {dvc_yaml}`"]
    used = re.findall(r"\$\{\s*(\w+)", dvc_yaml.read_text(encoding="utf-8"))
    known = {"seed", *stages, *used} - {"key", "item"}
    problems = [
        f"{params_file}: unknown section {name}; {params.closest(str(name), known)}"
        for name in tree
        if name not in known
    ]
    sys.path.insert(0, str(dvc_yaml.parent.resolve()))  # as `python -m stages.NAME` has it
    try:
        for name, stage in stages.items():
            problems += _check_stage(name, stage, tree)
    finally:
        del sys.path[0]
    return problems


def _check_stage(name: str, stage: dict[str, Any], tree: dict[str, Any]) -> Iterator[str]:
    from potstill import params

    try:
        section = importlib.import_module(f"stages.{name}").Params
    except Exception as error:
        yield f"stages/{name}.py cannot be used: {type(error).__name__}: {error}"
        return
    try:
        for where in sections(name, stage, tree):
            try:
                params.build(section, tree, where)
            except InputError as error:
                yield str(error)
    except InputError as error:
        yield str(error)


def sections(name: str, stage: dict[str, Any], tree: dict[str, Any]) -> list[str]:
    """Return the params sections with which dvc.yaml runs a stage: one, or one a variant.

    Raises:
        InputError: the section over which a `foreach` goes is not in params.yaml.
    """
    template = stage.get("do", stage)
    found = re.search(r"--params\s+(\S+)", str(template.get("cmd", "")))
    where = found[1].strip("'\"") if found else name
    loop = stage.get("foreach")
    if loop is None or "${" not in where:
        return [where]
    return [re.sub(r"\$\{\s*(?:key|item)\s*\}", str(key), where) for key in _keys(loop, tree)]


def _keys(loop: Any, tree: dict[str, Any]) -> list[Any]:  # noqa: ANN401 - YAML has no narrower type
    from potstill import params

    if isinstance(loop, str):
        path = loop.strip("${} ")
        loop = tree
        for part in path.split("."):
            if not isinstance(loop, dict) or part not in loop:
                allowed = params.closest(part, map(str, loop)) if isinstance(loop, dict) else ""
                raise InputError(f"params.yaml has no section {path}; {allowed}")
            loop = loop[part]
    return list(loop or ())


def check_graph(root: Path) -> list[str]:
    """Return what DVC finds wrong with dvc.yaml, and what a stage reads that nothing makes.

    Files that a removed variant left below data, models or metrics do not count.
    """
    from dvc.dependency import ParamsDependency
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    problems = []
    try:
        with Repo(str(root)) as repo:
            repo.index.check_graph()
            made = [Path(out.def_path) for out in repo.index.outs]
            for stage in repo.index.stages:
                reads = (d.def_path for d in stage.deps if not isinstance(d, ParamsDependency))
                for path in map(Path, reads):
                    related = any(path.is_relative_to(o) or o.is_relative_to(path) for o in made)
                    if not related and path.parts[0] in OUTPUTS:
                        problems.append(
                            f"{stage.addressing} reads {path}, which no stage makes: remove this "
                            "variant from params.yaml, or add the one that makes it"
                        )
                    elif not related and not (root / path).exists():
                        problems.append(
                            f"{stage.addressing} reads {path}, which is missing: "
                            f"`git checkout {path}`, or create it"
                        )
    except DvcException as error:
        return [f"dvc.yaml: {' '.join(str(error).split())}"]
    return problems
