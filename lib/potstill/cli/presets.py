"""Presets: a YAML file with only what differs from params.yaml, merged into it.

The merged params.yaml is an ordinary edit: `git diff params.yaml` and `dvc params diff` show it,
`dvc repro` and `dvc exp run [-S ...]` use it, `git checkout params.yaml` undoes it.

A section whose keys are names of the user's own (variants that dvc.yaml makes, gates, tasks) may
get new entries, and loses those that the preset sets to null; an entry may state what its siblings
or the section that they share state, or null where that may be left out, and a list of texts may
stand for one text or give way to it.
Everywhere else a key must exist and keep its type.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from potstill import files
from potstill.cli import pipeline
from potstill.cli.edits import Change, edit
from potstill.errors import InputError
from potstill.params import closest, read_params, section

Tree = dict[str, Any]


def apply(preset: Path, params_file: Path) -> list[Change]:
    """Merge a preset into params.yaml, comments kept, in one atomic write.

    Applying a preset twice is applying it once. Removing a variant that is not there is no error,
    because the second time none is.

    Returns:
        What changed, in the preset's order; empty when params.yaml holds the preset already.

    Raises:
        InputError: an unknown key, a changed type, or a file that cannot be read; params.yaml is
            then untouched.
    """
    current = read_params(params_file)
    rules = _rules(preset, params_file.with_name("dvc.yaml"), current)
    changes = list(_plan(read_params(preset), current, (), rules))
    if changes:
        text = params_file.read_text(encoding="utf-8")
        files.write_text(params_file, edit(text, changes))
    return changes


@dataclass(frozen=True)
class _Rules:
    """What a preset may add: entries of open sections, and keys that a variant may state."""

    preset: Path
    open: frozenset[str]  # sections whose keys are the user's own names
    keys: dict[str, Tree]  # of a variant, with the values that it shares with others, else None
    optional: dict[str, set[str]]  # keys of a variant that may be null

    def is_open(self, path: Sequence[str]) -> bool:
        """Say whether a section's keys are the user's own names."""
        return ".".join(path) in self.open

    def inherited(self, path: Sequence[str]) -> Tree:
        """Return what an entry need not state itself."""
        return self.keys.get(".".join(path), {})

    def may_be_null(self, path: Sequence[str]) -> bool:
        """Say whether a key is one of a variant's that may be null."""
        *above, key = path
        return key in self.optional.get(".".join(above), ())

    def refuse(self, path: tuple[str, ...], text: str) -> InputError:
        return InputError(f"{self.preset}: {'.'.join(path)}: {text}")


def _rules(preset: Path, dvc_yaml: Path, current: Tree) -> _Rules:
    """Read off dvc.yaml and the settings of its stages what a preset may add."""
    classes, keys = pipeline.settings(dvc_yaml), dict[str, Tree]()
    optional: dict[str, set[str]] = {}
    sections = set(pipeline.variant_sections(dvc_yaml))
    for item in pipeline.expand(dvc_yaml, current):
        fields = classes[item.stage].model_fields
        *shared, own = item.sections
        if item.variant is not None:
            values = {k: v for name in shared for k, v in current[name].items()}
            names = {field.alias or name: field.annotation for name, field in fields.items()}
            keys[own] = keys.get(own, {}) | {name: values.get(name) for name in names}
            optional.setdefault(own, set()).update(n for n, a in names.items() if _is_optional(a))
        maps = {name for name, field in fields.items() if _is_map(field.annotation)}
        for where in item.sections:
            sections |= {f"{where}.{key}" for key in maps & set(section(current, where))}
    return _Rules(preset, frozenset(sections), keys, optional)


def _is_map(annotation: object) -> bool:
    return any(get_origin(part) is dict for part in (annotation, *get_args(annotation)))


def _is_optional(annotation: object) -> bool:
    return type(None) in get_args(annotation)


def _plan(wanted: Tree, current: Tree, path: tuple[str, ...], rules: _Rules) -> Iterator[Change]:
    """Compare a preset's tree with the current one; yield the differences, refuse the rest."""
    for key, new in wanted.items():
        here = (*path, str(key))
        if new is None and rules.may_be_null(here):
            yield from _plan_null(current, here, rules)
        elif key not in current:
            yield from _plan_new(new, current, here, rules)
        elif new is None and rules.is_open(path):
            yield Change(here, current[key], None, "remove")
        elif isinstance(new, dict) and isinstance(current[key], dict):
            yield from _plan(new, current[key], here, rules)
        else:
            _check_type(current[key], new, here, rules)
            if new != current[key]:
                yield Change(here, current[key], new, "set")


def _plan_null(current: Tree, path: tuple[str, ...], rules: _Rules) -> Iterator[Change]:
    """Yield what makes a variant's key null: left out, or stated against what is shared."""
    *above, key = path
    old, shared = current.get(key), rules.inherited(above).get(key)
    if old is not None:
        yield Change(path, old, None, "remove" if shared is None else "set")
    elif shared is not None and key not in current:
        yield Change(path, None, None, "add")


def _plan_new(new: object, current: Tree, path: tuple[str, ...], rules: _Rules) -> Iterator[Change]:
    """Yield what a preset adds: an entry of an open section, or a key that a variant may state."""
    *above, key = path
    inherited = rules.inherited(above)
    if rules.is_open(above):
        if new is None:  # was removed before
            return
        like = next(iter(current.values()), None)
    elif key in inherited:
        like = inherited[key]
    else:
        raise rules.refuse(path, f"unknown key; {closest(key, map(str, {**inherited, **current}))}")
    _check_type(like, new, path, rules)
    yield Change(path, None, new, "add")


def _shown(value: object) -> str:
    return f"{value!r} ({type(value).__name__})"


def _check_type(old: object, new: object, path: tuple[str, ...], rules: _Rules) -> None:
    """Refuse a value of another type; a whole number may stand where a float does."""
    if rules.is_open(path[:-1]) and list in (type(old), type(new)):
        old, new = (value if isinstance(value, list) else [value] for value in (old, new))
    if old is not None and type(new) not in _kinds(old):
        raise rules.refuse(
            path, f"got {_shown(new)}, params.yaml has {_shown(old)}; the type stays"
        )
    if isinstance(old, list) and isinstance(new, list) and old:
        kinds = set().union(*map(_kinds, old))
        for item in new:
            if type(item) not in kinds:
                raise rules.refuse(path, f"got the element {_shown(item)}, params.yaml has {old}")


def _kinds(value: object) -> set[type]:
    return {float, int} if isinstance(value, float) else {type(value)}
