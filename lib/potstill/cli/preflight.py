"""Find what would stop the pipeline, before it starts: settings, packages, system tools.

Everything here is looked up, nothing is installed or changed. The tools can be checked by a bare
Python: this module imports no package at its top.
"""

import importlib.metadata
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
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


def check_all() -> list[str]:
    """Return every problem of this checkout as one line each; run from the project's root."""
    problems = [*check_tools(), *check_packages(Path("requirements.lock"))]
    if problems:  # without its packages the rest cannot even be imported
        return problems
    problems = check_settings(Path("dvc.yaml"), Path("params.yaml"))
    return problems or list(check_machine(Path("params.yaml")))


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


def check_machine(params_file: Path) -> Iterator[str]:
    """Yield what is not here for these settings: models, code, sandbox, benchmarks' files."""
    from potstill import sandbox
    from potstill.export import converter
    from potstill.mining import places
    from potstill.params import read_params
    from potstill.sources import fetch
    from potstill.tasks.where import Where, below, read_rows

    tree = read_params(params_file)
    checks: list[tuple[str, Callable[[], object]]] = [
        (f"models.{name}", partial(fetch.look, model["source"], model["revision"]))
        for name, model in tree["models"].items()
    ]
    checks += [
        (f"mine_functions.sources.{n}", partial(places.find, one["from"], one.get("licence")))
        for n, one in enumerate(tree["mine_functions"]["sources"])
    ]
    if any(item["format"] == "gguf" for item in tree["export"].values()):
        checks.append(("export", converter.check))
    modes = {tree[section]["sandbox"] for section in ("derive_tests", "curate", "scoring")}
    checks += [("sandbox", partial(sandbox.check, mode)) for mode in sorted(modes)]
    sources = below(tree["benchmarks"]["sources"], Path("problems"))
    checks += [
        (f"benchmarks.sources.{task}", partial(read_rows, Where(sources), task, ()))
        for task, source in sources.items()
        if not source.startswith("hub:")
    ]
    for where, look in checks:
        try:
            look()
        except InputError as error:
            yield f"{where}: {error}"


def layers() -> str:
    """Return which of the sandbox's layers are in force here, as one line."""
    from potstill import sandbox

    in_force, missing = sandbox.layers()
    lacks = f"; not in force: {', '.join(missing)}" if missing else ""
    return f"sandbox: {', '.join(in_force)}{lacks}"


def check_settings(dvc_yaml: Path, params_file: Path) -> list[str]:
    """Return what is wrong with params.yaml: its sections, then the names in them."""
    from potstill import params
    from potstill.cli import names, pipeline

    try:
        tree = params.read_params(params_file)
        instances = list(pipeline.expand(dvc_yaml, tree))
        problems = [*_unknown(dvc_yaml, instances, tree), *_sections(instances, tree, dvc_yaml)]
        # what a name leads to is looked up only where the settings have their shape
        return problems or names.check_names(instances, tree)
    except InputError as error:
        return [str(error)]


def _unknown(dvc_yaml: Path, instances: list[Any], tree: dict[str, Any]) -> Iterator[str]:
    from potstill import params

    used = {where.split(".")[0] for item in instances for where in item.sections}
    # of a stage over variants there may be no instance, and what these would share is known
    text = dvc_yaml.read_text(encoding="utf-8")
    used |= set(re.findall(r"\$\{\s*(\w+)", text))
    used |= {word for words in re.findall(r"--params ([\w ]+)", text) for word in words.split()}
    known = {"seed", *used} - {"key", "item"}
    for name in tree:
        if name not in known:
            yield f"params.yaml: unknown section {name}; {params.closest(str(name), known)}"


def _sections(instances: list[Any], tree: dict[str, Any], dvc_yaml: Path) -> Iterator[str]:
    from potstill import params
    from potstill.cli import pipeline

    classes = pipeline.settings(dvc_yaml)
    said = set()
    for item in instances:
        try:
            params.build(classes[item.stage], tree, *item.sections)
        except InputError as error:
            if str(error) not in said:  # a shared section is wrong once
                said.add(str(error))
                yield str(error)
