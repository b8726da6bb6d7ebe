"""Static checks of dvc.yaml, the stages and the library: names, dependencies, layers, sizes.

Nothing is run here.
"""

import graphlib
import re

import pytest
import yaml
from potstill.imports import (
    PLUMBING,
    ROOT,
    code_dependencies,
    imported,
    module_file,
    reachable,
    unit,
)

LIB = ROOT / "lib/potstill"
# The rooms from below to above: a room imports its own line or those before it.
ROOMS = """
models katas subset sandbox hints
sources loading tokens
runtime data mining rounds tasks
vocabulary students logits testing
curation distill
export
compress rollouts
adoption proving evaluate sampling recipes doctor
report
card
cli
"""
LAYERS = {room: level for level, line in enumerate(ROOMS.split("\n")) for room in line.split()}
MAX_STALENESS = 1.3  # stages that an edit makes stale for each stage that it can change
MAX_LIB_LINES, MAX_STAGE_LINES = 300, 60

needs_pipeline = pytest.mark.skipif(not (ROOT / "dvc.yaml").exists(), reason="no dvc.yaml here")


@pytest.fixture(scope="module")
def stages():
    """The stages as DVC expands them, by name and variant."""
    from dvc.repo import Repo

    with Repo(str(ROOT)) as repo:
        return {stage.addressing: stage for stage in repo.index.stages}


@pytest.fixture(scope="module")
def written():
    """The stages as they stand in dvc.yaml: of a section without variants DVC makes none."""
    return yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))["stages"]


@pytest.fixture(scope="module")
def params():
    return yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def split(address):
    name, _, variant = address.partition("@")
    return name, variant


def dependencies(stage):
    from dvc.dependency import ParamsDependency

    return {d.def_path for d in stage.deps if not isinstance(d, ParamsDependency)}


def sections(stage):
    from dvc.dependency import ParamsDependency

    found = [d.params for d in stage.deps if isinstance(d, ParamsDependency)]
    return {str(name) for names in found for name in names}


def is_code(path):
    return path.startswith(("stages/", "lib/"))


@needs_pipeline
def test_a_stage_its_script_and_its_test_bear_one_name(written):
    names = set(written)
    scripts = {p.stem for p in (ROOT / "stages").glob("*.py")} - {"__init__"}
    tests = {p.stem.removeprefix("test_") for p in (ROOT / "tests/stages").glob("test_*.py")}
    assert scripts == names
    assert names - tests == set()


@needs_pipeline
def test_settings_are_named_once_in_the_command_and_declared(stages, params):
    """A stage is set by the section of its name, or by what variants share and the variant's."""
    wrong, used = [], set()
    for address, stage in stages.items():
        name, variant = split(address)
        given = re.search(r"--params ([\w. -]+?) --", stage.cmd)[1].split()
        used |= {section.split(".")[0] for section in given}
        own = given[-1].split(".")
        if (own[1] != variant) if variant else (given[-1] != name):
            wrong.append(f"{address}: --params {given}")
        # of an export its tasks are another stage's, so the others are declared one by one
        declared = sections(stage) - {"seed"}
        if {d if d in given else d.rpartition(".")[0] for d in declared} != set(given):
            wrong.append(f"{address}: --params {given}, declared {declared}")
    assert wrong == []
    empty = {name for name, value in params.items() if value == {}}
    shared = {"on_policy": "rollouts", "compressed": "compression"}  # variants, what all share
    empty |= {settings for variants, settings in shared.items() if not params[variants]}
    assert {name for name, value in params.items() if isinstance(value, dict)} == used | empty
    assert set(params) - used - empty == {"seed", "teacher"}


@needs_pipeline
def test_who_reads_benchmarks_depends_on_the_folder_of_their_files(stages):
    readers = {a: dependencies(s) for a, s in stages.items() if "benchmarks" in sections(s)}
    assert {split(a)[0] for a in readers} == {"curate", "describe_dataset", "score"}
    assert [address for address, paths in readers.items() if "problems" not in paths] == []


@needs_pipeline
def test_metrics_and_module_of_a_stage_bear_its_name(stages):
    wrong = []
    for address, stage in stages.items():
        name, variant = split(address)
        metrics = f"metrics/{name}/{variant}.json" if variant else f"metrics/{name}.json"
        if not stage.cmd.endswith(f"--metrics {metrics}"):
            wrong.append(f"{address}: {stage.cmd}")
        if not re.match(rf"python -m stages\.{name}\s", stage.cmd):
            wrong.append(f"{address}: {stage.cmd}")
    assert wrong == []


@needs_pipeline
def test_the_seed_is_declared_where_it_is_used(stages):
    import importlib

    wrong = []
    for address, stage in stages.items():
        fields = importlib.import_module(f"stages.{split(address)[0]}").Params.model_fields
        if ("seed" in fields) != ("seed" in sections(stage)):
            wrong.append(address)
    assert wrong == []


@needs_pipeline
def test_declared_code_is_what_the_stage_imports(written):
    wrong = []
    for name, stage in written.items():
        declared = {path for path in stage.get("do", stage)["deps"] if is_code(path)}
        script = ROOT / f"stages/{name}.py"
        needed = code_dependencies(script) if script.exists() else set()
        if declared != needed:
            wrong.append(f"{name}: add {needed - declared}, remove {declared - needed}")
    assert wrong == []


@needs_pipeline
def test_an_edit_makes_few_stages_stale_that_it_cannot_change(stages):
    """Summed over the library's files: stages that declare a file against those that reach it."""
    one_of_each = {split(address)[0]: stage for address, stage in stages.items()}
    declared, reached, in_vain = 0, 0, {}
    for name, stage in one_of_each.items():
        code = [ROOT / path for path in dependencies(stage) if path.startswith("lib/")]
        held = {f for path in code for f in ([path] if path.is_file() else path.rglob("*.py"))}
        used = {module_file(m) for m in reachable(ROOT / f"stages/{name}.py")}
        declared, reached = declared + len(held), reached + len(used & held)
        for path in held - used:
            in_vain.setdefault(path.relative_to(LIB).as_posix(), []).append(name)
    most = sorted(in_vain.items(), key=lambda item: -len(item[1]))[:8]
    assert declared / reached <= MAX_STALENESS, f"{declared} / {reached}; {most}"


@needs_pipeline
def test_paths_in_the_command_are_what_is_declared(stages):
    """A flag may name a folder of which the stage declares what it reads."""
    wrong = []
    for address, stage in stages.items():
        flags = dict(re.findall(r"--([\w-]+)\s+(\S+)", stage.cmd))
        flags.pop("params")
        given = set(flags.values())
        data = {path for path in dependencies(stage) if not is_code(path)}
        declared = data | {out.def_path for out in stage.outs}
        whole = {path for path in given - declared if any(d.startswith(f"{path}/") for d in data)}
        inside = {d for d in data - given if any(d.startswith(f"{path}/") for path in whole)}
        if declared - inside != given - whole:
            wrong.append(f"{address}: {(declared - inside) ^ (given - whole)}")
        if whole and split(address)[0] != "compare":
            wrong.append(f"{address}: {whole}: declare the folder")
    assert wrong == []


@needs_pipeline
def test_flags_are_mains_parameters_and_outputs_are_declared_as_such(stages):
    import importlib

    from potstill import stage as plumbing

    wrong = []
    for address, stage in stages.items():
        main = importlib.import_module(f"stages.{split(address)[0]}").main
        flags = dict(re.findall(r"--([\w-]+)\s+(\S+)", stage.cmd))
        expected = {n.replace("_", "-") for n in plumbing.path_parameters(main)}
        if set(flags) != expected | {"params", "metrics"}:
            wrong.append(f"{address}: {set(flags) ^ (expected | {'params', 'metrics'})}")
        outs = {path for name, path in flags.items() if plumbing.is_output(name.replace("-", "_"))}
        if outs | {flags["metrics"]} != {out.def_path for out in stage.outs}:
            wrong.append(f"{address}: outs {outs}")
    assert wrong == []


@needs_pipeline
def test_the_graph_has_no_cycle_and_every_stage_has_a_description(stages):
    import networkx
    from dvc.repo import Repo

    with Repo(str(ROOT)) as repo:
        assert networkx.is_directed_acyclic_graph(repo.index.graph)
    assert [address for address, stage in stages.items() if not stage.desc] == []


def test_the_library_keeps_its_layers():
    """A package imports its own layer or a lower one, in no circle; single modules lie below."""
    wrong, graph = [], {}
    for path in sorted(LIB.rglob("*.py")):
        here = path.relative_to(LIB).parts[0].removesuffix(".py")
        for name in imported(path):
            there = unit(name)
            if not there or there == here or (there in PLUMBING and here not in PLUMBING):
                continue
            graph.setdefault(here, set()).add(there)
            upwards = LAYERS.get(there, -1) > LAYERS.get(here, -1)
            if upwards or name.startswith("stages") or (here in PLUMBING and there not in PLUMBING):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []
    graphlib.TopologicalSorter(graph).prepare()  # raises for a circle


def test_every_package_of_the_library_has_a_layer():
    packages = {p.parent.name for p in LIB.glob("*/__init__.py")}
    assert packages - set(LAYERS) == set()


def test_no_stage_imports_another():
    scripts = (ROOT / "stages").glob("*.py")
    assert [s.name for s in scripts if any(n.startswith("stages.") for n in imported(s))] == []


@pytest.mark.parametrize(
    ("folder", "limit"), [("lib/potstill", MAX_LIB_LINES), ("stages", MAX_STAGE_LINES)]
)
def test_files_are_short(folder, limit):
    lines = {p: len(p.read_text().splitlines()) for p in (ROOT / folder).rglob("*.py")}
    too_long = {p.relative_to(ROOT).as_posix(): n for p, n in lines.items() if n > limit}
    assert too_long == {}


@pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="no README here")
def test_the_readmes_commands_exist():
    from potstill.cli import __main__ as cli

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = set(re.findall(r"(?:^|`|\s)make ([a-z][\w-]*)", "\n".join(code_of(readme))))
    assert used, "the README names no target"
    assert used - targets == set()
    usage = cli.build_parser(None).format_help()
    commands = set(re.findall(r"^ {4}(\w+)", usage, re.MULTILINE))
    named = set(re.findall(r"(?:^|\s|/)potstill ([a-z]+)", "\n".join(code_of(readme))))
    assert named - commands == set()


def code_of(markdown):
    """Yield what a Markdown text sets as code: fenced blocks and spans."""
    rest = markdown
    for block in re.findall(r"```[^\n]*\n(.*?)```", markdown, re.DOTALL):
        yield block
        rest = rest.replace(block, "")
    yield from re.findall(r"`([^`\n]+)`", rest)
