"""Every name in params.yaml that must lead somewhere: what is made, compared, asked for.

Found before any work, with the place where it stands and what is allowed there.
"""

import graphlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from potstill.cli import signals
from potstill.cli.pipeline import Instance, Place
from potstill.errors import InputError
from potstill.params import closest, section

Tree = dict[str, Any]
OUTPUTS = {"data", "models", "metrics"}
STUDENTS = ("students", "on_policy", "compressed")  # sections of what is in models/students


def check_names(instances: list[Instance], tree: Tree) -> list[str]:
    """Return a line for every name that leads nowhere, and for a circle."""
    problems = [*_paths(instances), *_circle(instances), *_exports(tree), *_roles(tree)]
    return [*problems, *_twice(tree), *_teachers(tree), *signals.check(tree)]


def _related(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


def _paths(instances: list[Instance]) -> Iterator[str]:
    """What a stage reads below data, models and metrics must be made by another stage."""
    made = [place.path for instance in instances for place in instance.makes]
    seen = set()
    for instance in instances:
        for place in instance.reads:
            if any(_related(place.path, path) for path in made):
                continue
            if place.path.parts[0] in OUTPUTS:
                line = _leads_nowhere(instance, place, made)
            elif not place.path.exists():
                line = (
                    f"{instance.address} reads {place.path}, which is missing: "
                    f"`git checkout {place.path}`, or create it"
                )
            else:
                continue
            key = place.settings or (line,)
            if key not in seen:  # one line for a wrong name, however many stages it misleads
                seen.add(key)
                yield line


def _leads_nowhere(instance: Instance, place: Place, made: list[Path]) -> str:
    if not place.settings:
        return (
            f"{instance.address} reads {place.path}, which no stage makes: restore "
            "its entry in params.yaml, or dvc.yaml"
        )
    folder = place.path.parts[0]
    if place.settings == ("teacher",):
        folder = place.path.parent.as_posix()
    names = {p.relative_to(folder).as_posix() for p in made if p.is_relative_to(folder)}
    names = {name for name in names if not name.startswith("artefacts/")}
    wanted, name = place.path.relative_to(folder).as_posix(), place.settings[-1]
    if name.endswith(".signal"):
        names = {n for n in names if n.startswith(("signals/", "ensembles/")) or n == "tokens"}
    if name.endswith(".start"):
        names = {n.removeprefix("starts/") for n in names if n.startswith("starts/")}
        wanted = wanted.removeprefix("starts/")
    wanted = wanted.removesuffix(".safetensors")
    return f"params.yaml: {name} is {wanted!r}, which no stage makes; {closest(wanted, names)}"


def _circle(instances: list[Instance]) -> Iterator[str]:
    graph = {
        one.address: {
            other.address
            for other in instances
            if any(
                r.path == m.path if other is one else _related(r.path, m.path)
                for r in one.reads
                for m in other.makes
            )
        }
        for one in instances
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        yield f"params.yaml makes a circle: {' needs '.join(reversed(error.args[1]))}"


def _teachers(tree: Tree) -> Iterator[str]:
    """Who is asked for answers on this machine is a model that is fetched."""
    models = section(tree, "models")
    for number, one in enumerate(section(tree, "sample_teacher").get("teachers") or []):
        name = one.get("model")
        if name is not None and name not in models:
            where = f"params.yaml: sample_teacher.teachers[{number}].model"
            yield f"{where} is {name!r}, which `models` does not have; {closest(name, models)}"


def _twice(tree: Tree) -> Iterator[str]:
    """All kinds of students are written to models/students/NAME."""
    for one, other in itertools.combinations(STUDENTS, 2):
        for name in section(tree, one).keys() & section(tree, other).keys():
            yield f"params.yaml: `{one}` and `{other}` both have {name}: rename one of the two"


def _exports(tree: Tree) -> Iterator[str]:
    from potstill.export import FORMATS, split

    for name, variant in section(tree, "export").items():
        where = f"params.yaml: export.{name}"
        form = variant.get("format")
        if form not in FORMATS:
            yield f"{where}.format is {form!r}; {closest(str(form), FORMATS)}"
        else:
            try:
                split(form, str(variant.get("quantisation")))
            except InputError as error:
                yield f"{where}.{error}"
        checkpoint = str(variant.get("checkpoint"))
        if checkpoint != "teacher_adapted" and not checkpoint.startswith("students/"):
            yield (
                f"{where}.checkpoint is {checkpoint!r}: teacher_adapted and students/NAME can be "
                "exported; for a model as it is, make a student of it with 0 steps"
            )


def _roles(tree: Tree) -> Iterator[str]:
    """The report's roles: students that exist, each through exports of its own, a task they try."""
    roles, export = section(tree, "compare"), section(tree, "export")
    students = {name: one for kind in STUDENTS for name, one in section(tree, kind).items()}
    shown = section(roles, "students")
    of_student: list[Any] = []
    for student, exports in shown.items():
        where = f"params.yaml: compare.students.{student}"
        if isinstance(exports, list):  # one for each training seed
            owners = [f"students/{name}" for name in students]
            for variant in exports:
                yield from _role(where, variant, owners, export)
        elif student not in students:
            allowed = closest(student, students)
            yield (
                f"{where}: none of {', '.join(STUDENTS)} has {student}: remove it there and "
                f"from gates; {allowed}"
            )
        else:
            yield from _role(where, exports, [f"students/{student}"], export)
        if student == roles.get("student"):
            of_student = exports if isinstance(exports, list) else [exports]
    where = "params.yaml: compare.teacher"
    yield from _role(where, roles.get("teacher"), ["teacher_adapted"], export)
    made_of = [export[name].get("checkpoint") for name in of_student[:1] if name in export]
    if made_of:
        yield from _role("params.yaml: compare.baseline", roles.get("baseline"), made_of, export)
    yield from _asked(roles, [name for name in of_student if name in export], export)
    yield from _owned(shown, export)


def _role(where: str, variant: object, owners: list[str], export: Tree) -> Iterator[str]:
    of_owner = [n for n, item in export.items() if item.get("checkpoint") in owners]
    hint = closest(str(variant), of_owner)
    if variant not in export:
        yield f"{where} is {variant!r}, which `export` does not have; {hint}"
    elif variant not in of_owner:
        made_of, owner = export[variant].get("checkpoint"), " or ".join(owners)
        yield f"{where} is {variant!r}, which is made of {made_of}, not of {owner}; {hint}"


def _owned(shown: Tree, export: Tree) -> Iterator[str]:
    """What is exported is of the teacher or of a student that the report shows."""
    listed = [v for one in shown.values() for v in (one if isinstance(one, list) else [one])]
    owners = {export[name].get("checkpoint") for name in listed if name in export}
    for name, item in export.items():
        checkpoint = str(item.get("checkpoint"))
        if checkpoint.startswith("students/") and checkpoint not in owners:
            yield (
                f"params.yaml: export.{name} is made of {checkpoint}, which compare.students does "
                "not show: list an export of it there, or remove this one"
            )


def _asked(roles: Tree, delivered: list[str], export: Tree) -> Iterator[str]:
    """What the report judges by is a task that the delivered export tries."""
    places = {"primary": section(roles, "primary")}
    places |= {f"gates.{name}": gate for name, gate in section(roles, "gates").items()}
    for place, values in places.items():
        task = values.get("task")
        for name in delivered if task is not None else ():
            tried = [key for key, count in (export[name].get("tasks") or {}).items() if count]
            if task not in tried:
                where = f"params.yaml: compare.{place}.task is {task!r}, which export.{name}.tasks"
                yield f"{where} does not try; {closest(str(task), tried)}"
