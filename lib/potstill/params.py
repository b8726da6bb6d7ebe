"""Settings: a section of params.yaml becomes a checked, frozen object, or one clear line."""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from potstill.errors import InputError

PARAMS_FILE = Path("params.yaml")


class Section(BaseModel):
    """Base of every stage's `Params`: no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Loader(yaml.SafeLoader):
    """YAML 1.1 but for floats: 1e-4 is a number, as for DVC, which writes such (`exp run -S`)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"),
    list("-+0123456789"),
)
SettingsT = TypeVar("SettingsT", bound=Section)


def closest(name: str, allowed: Iterable[str]) -> str:
    """Return "allowed: a, b, c; did you mean b?" for a message about an unknown name."""
    names = sorted(allowed)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"allowed: {', '.join(names)}{hint}"


def read_params(path: Path = PARAMS_FILE) -> dict[str, Any]:
    """Read params.yaml as a dictionary.

    Raises:
        InputError: the file is missing or is not YAML with sections at the top.
    """
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: run from the project's root") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise InputError(f"{path} holds a {type(tree).__name__}; sections are expected")
    return tree


def build(cls: type[SettingsT], tree: dict[str, Any], *where: str) -> SettingsT:
    """Build a stage's settings from sections of a params tree ("training", "students.kd").

    What several variants share stands in a section of its own, named first; a later section's keys
    win, so that a variant states only what differs. A field `seed` is taken from the top of the
    tree: there is one seed for the whole run.

    Raises:
        InputError: an unknown or missing key, or a value of the wrong type or out of range.
    """
    found = {name: section(tree, name) for name in where}
    values = {"seed": tree["seed"]} if "seed" in cls.model_fields and "seed" in tree else {}
    for part in found.values():
        values |= part
    try:
        return cls.model_validate(values)
    except ValidationError as error:
        raise InputError(_one_line(cls, error, found)) from None


def section(tree: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the section of a dotted name.

    Raises:
        InputError: there is none, or it is no section.
    """
    values: Any = tree
    for key in where.split("."):
        if not isinstance(values, dict) or key not in values:
            known = values if isinstance(values, dict) else {}
            raise InputError(f"params.yaml has no section {where}; {closest(key, map(str, known))}")
        values = values[key]
    if not isinstance(values, dict):
        raise InputError(f"params.yaml: {where} is a {type(values).__name__}, not a section")
    return values


def _one_line(cls: type[Section], error: ValidationError, found: dict[str, dict[str, Any]]) -> str:
    # a key that was renamed is unknown and missing at once: unknown says more
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    path = [str(part) for part in first["loc"]]
    # the last section that has the key is the one that counts, and the one to mend
    where = [name for name, part in found.items() if path and path[0] in part] or list(found)
    place = ".".join([where[-1], *_without_kinds(path, found[where[-1]])])
    if first["type"] == "extra_forbidden":
        unknown = path[-1]
        fields = _innermost(cls, path[:-1]).model_fields
        names = [field.alias or name for name, field in fields.items()]
        return f"params.yaml: unknown key {place}; {closest(unknown, names)}"
    if first["type"] == "missing":
        return f"params.yaml: {place} is missing: add it"
    reason = first["msg"].removeprefix("Value error, ")
    if not path:  # settings that do not go together: all of them would be what was got
        return f"params.yaml: {place}: {reason}"
    got = f"{first['input']!r} ({type(first['input']).__name__})"
    return f"params.yaml: {place}: got {got}; {reason}"


def _without_kinds(path: list[str], values: Any) -> list[str]:  # noqa: ANN401 - any YAML value
    """Return a path as the file has it: pydantic names which section of several was meant."""
    shown = []
    for part in path:
        if isinstance(values, dict) and part == values.get("kind"):
            continue
        shown.append(part)
        values = values.get(part) if isinstance(values, dict) else None
    return shown


def _innermost(cls: type[Section], path: list[str]) -> type[Section]:
    """Return the section that a path leads to; names of a user's own lead no deeper."""
    several = [cls]
    for name in path:
        meant = [one for one in several if name in _kinds(one)]
        field = several[0].model_fields.get(name)
        inner = _sections(field.annotation) if field is not None else []
        several = meant or inner or several
    return several[0]


def _kinds(cls: type[Section]) -> tuple[Any, ...]:
    field = cls.model_fields.get("kind")
    return get_args(field.annotation) if field is not None else ()


def _sections(annotation: object) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [found for part in get_args(annotation) for found in _sections(part)]
