"""dvc.yaml expanded with params.yaml: every stage and variant with what it is set by, reads, makes.

DVC itself takes over a second to be imported and names a stage where a name leads nowhere; this is
enough to name the setting, at once. Only what this project's dvc.yaml uses is understood: `foreach`
over a section of params.yaml, `${key}`, `${item.x}` and `${x.y}`.
"""

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from potstill.errors import InputError
from potstill.params import Section, closest, read_params, section

Tree = dict[str, Any]
_PLACE = re.compile(r"\$\{\s*([\w.-]+)\s*\}")


@dataclass(frozen=True)
class Place:
    """A path that a stage reads or makes, and the settings that its name was made from."""

    path: Path
    settings: tuple[str, ...]


@dataclass(frozen=True)
class Instance:
    """A stage, or one variant of it."""

    stage: str
    variant: str | None
    sections: tuple[str, ...]  # of params.yaml, after --params
    reads: tuple[Place, ...]
    makes: tuple[Place, ...]

    @property
    def address(self) -> str:
        """Return DVC's name of it."""
        return self.stage if self.variant is None else f"{self.stage}@{self.variant}"


def stages(dvc_yaml: Path) -> dict[str, Tree]:
    """Return the stages of dvc.yaml as they stand there."""
    found = read_params(dvc_yaml).get("stages")
    if not isinstance(found, dict):
        raise InputError(f"{dvc_yaml} has no stages: restore it with `git checkout {dvc_yaml}`")
    return found


def settings(dvc_yaml: Path) -> dict[str, type[Section]]:
    """Return the class of every stage's settings.

    Raises:
        InputError: a stage's script cannot be imported or has no settings.
    """
    found = {}
    for name in stages(dvc_yaml):
        path = dvc_yaml.parent / f"stages/{name}.py"
        spec = importlib.util.spec_from_file_location(f"stages.{name}", path)
        try:
            module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
            spec.loader.exec_module(module)  # type: ignore[union-attr]
            found[name] = module.Params
        except Exception as error:
            kind = type(error).__name__
            raise InputError(f"stages/{name}.py cannot be used: {kind}: {error}") from None
    return found


def variant_sections(dvc_yaml: Path) -> frozenset[str]:
    """Return the names of the params sections over which dvc.yaml makes variants."""
    return frozenset(filter(None, map(_loop, stages(dvc_yaml).values())))


def _loop(stage: Tree) -> str | None:
    found = _PLACE.fullmatch(str(stage.get("foreach", "")))
    return found[1] if found else None


def expand(dvc_yaml: Path, tree: Tree) -> Iterator[Instance]:
    """Yield every stage and variant, in the file's order.

    Raises:
        InputError: a section or a key that dvc.yaml names is not in params.yaml.
    """
    for name, stage in stages(dvc_yaml).items():
        loop = _loop(stage)
        if loop is None:
            yield _instance(name, None, stage, tree, {})
            continue
        for variant, item in section(tree, loop).items():
            if not re.fullmatch(r"[\w-]+", str(variant)):  # it is part of paths and dotted names
                raise InputError(
                    f"params.yaml: {loop}: the name {variant!r}; allowed: letters, digits, _ and -"
                )
            names = {"key": str(variant), "item": f"{loop}.{variant}"}
            if not isinstance(item, dict):
                raise InputError(
                    f"params.yaml: {loop}.{variant} is a {type(item).__name__}, not a section"
                )
            yield _instance(name, str(variant), stage["do"], tree, names)


def _instance(
    name: str, variant: str | None, stage: Tree, tree: Tree, names: dict[str, str]
) -> Instance:
    command = str(stage.get("cmd", ""))
    given = re.search(r"--params\s+(.+?)\s+--", command)
    texts = given[1].split() if given else [name]
    outs = [next(iter(out)) if isinstance(out, dict) else out for out in stage.get("outs", [])]
    return Instance(
        name,
        variant,
        tuple(_fill(text, tree, names).path.as_posix() for text in texts),
        tuple(_fill(text, tree, names) for text in stage.get("deps", [])),
        tuple(_fill(text, tree, names) for text in outs),
    )


def _fill(text: str, tree: Tree, names: dict[str, str]) -> Place:
    """Put the settings' values into a text of dvc.yaml."""
    settings = []

    def value(match: re.Match[str]) -> str:
        if match[1] == "key":
            return names["key"]
        path = re.sub(r"^item\b", lambda _: names.get("item", "item"), match[1])
        settings.append(path)
        parent, _, leaf = path.rpartition(".")
        around = section(tree, parent) if parent else tree
        if not isinstance(around.get(leaf), str):
            got = f"is {around[leaf]!r}, not a name" if leaf in around else "is missing: add it"
            hint = "" if leaf in around else f"; {closest(leaf, map(str, around))}"
            raise InputError(f"params.yaml: {path} {got}{hint}")
        return str(around[leaf])

    return Place(Path(_PLACE.sub(value, text)), tuple(settings))
