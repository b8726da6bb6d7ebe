"""Presets: a YAML file with only what differs from params.yaml, merged into it.

The merged params.yaml is an ordinary edit: `git diff params.yaml` and `dvc params diff` show it,
`dvc repro` and `dvc exp run [-S ...]` use it, `git checkout params.yaml` undoes it.

A section whose keys are names of the user's own (variants that dvc.yaml makes, gates, tasks) may
get new entries, and loses those that the preset sets to null; an entry may state what its siblings
or the section that they share state, and a list of texts may stand for one text or give way to it.
Everywhere else a key must exist and keep its type.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.representer import RoundTripRepresenter

from potstill import files
from potstill.cli import pipeline
from potstill.errors import InputError
from potstill.params import closest, read_params, section

Tree = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """One leaf, list or variant that a preset sets, adds or removes."""

    path: tuple[str, ...]
    old: object
    new: object
    kind: str  # "set", "add" or "remove"

    def __str__(self) -> str:
        name = ".".join(self.path)
        if self.kind == "set":
            return f"{name}: {self.old} -> {self.new}"
        return f"{name}: {'added' if self.kind == 'add' else 'removed'}"


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
        files.write_text(params_file, _edit(text, changes))
    return changes


@dataclass(frozen=True)
class _Rules:
    """What a preset may add: entries of open sections, and keys that a variant may state."""

    preset: Path
    open: frozenset[str]  # sections whose keys are the user's own names
    keys: dict[str, Tree]  # of a variant, with the values that it shares with others, else None

    def inherited(self, path: tuple[str, ...]) -> Tree:
        """Return what an entry need not state itself."""
        return self.keys.get(".".join(path), {})

    def refuse(self, path: tuple[str, ...], text: str) -> InputError:
        return InputError(f"{self.preset}: {'.'.join(path)}: {text}")


def _rules(preset: Path, dvc_yaml: Path, current: Tree) -> _Rules:
    instances = list(pipeline.expand(dvc_yaml, current))
    classes = pipeline.settings(dvc_yaml)
    sections, keys = set(pipeline.variant_sections(dvc_yaml)), dict[str, Tree]()
    for item in instances:
        fields = classes[item.stage].model_fields
        own = item.sections[-1]
        if item.variant is not None:
            shared = {k: v for name in item.sections[:-1] for k, v in current[name].items()}
            names = [field.alias or name for name, field in fields.items()]
            keys[own] = keys.get(own, {}) | {name: shared.get(name) for name in names}
        for name in item.sections:
            held = section(current, name)
            maps = (key for key in held if key in fields and _is_map(fields[key].annotation))
            sections |= {f"{name}.{key}" for key in maps}
    return _Rules(preset, frozenset(sections), keys)


def _is_map(annotation: object) -> bool:
    return any(get_origin(part) is dict for part in (annotation, *get_args(annotation)))


def _plan(wanted: Tree, current: Tree, path: tuple[str, ...], rules: _Rules) -> Iterator[Change]:
    """Compare a preset's tree with the current one; yield the differences, refuse the rest."""
    is_open = ".".join(path) in rules.open
    inherited = rules.inherited(path)
    for key, new in wanted.items():
        here = (*path, str(key))
        if is_open and new is None:
            if key in current:
                yield Change(here, current[key], None, "remove")
        elif is_open and key not in current:
            for other in list(current.values())[:1]:
                _check_type(other, new, here, rules)
            yield Change(here, None, new, "add")
        elif key not in current and key in inherited:
            _check_type(inherited[key], new, here, rules)
            yield Change(here, None, new, "add")
        elif key not in current:
            allowed = map(str, {**inherited, **current})
            raise rules.refuse(here, f"unknown key; {closest(str(key), allowed)}")
        elif isinstance(new, dict) and isinstance(current[key], dict):
            yield from _plan(new, current[key], here, rules)
        else:
            _check_type(current[key], new, here, rules)
            if new != current[key]:
                yield Change(here, current[key], new, "set")


def _shown(value: object) -> str:
    return f"{value!r} ({type(value).__name__})"


def _check_type(old: object, new: object, path: tuple[str, ...], rules: _Rules) -> None:
    """Refuse a value of another type; a whole number may stand where a float does."""
    if ".".join(path[:-1]) in rules.open and list in (type(old), type(new)):
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


def _edit(text: str, changes: list[Change]) -> str:
    """Return params.yaml's text with the changes made.

    Entries come and go, and block lists go, as lines of the text: ruamel ties the comment *above* a
    key to the end of what stands before it, and would drop or move it with the entry.
    """
    for change in changes:
        if change.kind == "add":
            text = _insert_lines(text, change)
    for change in changes:
        if change.kind == "remove" or isinstance(change.old, list):
            text = _cut_lines(text, change)
    tree = _writer().load(text)
    for change in changes:
        *parents, key = change.path
        section = tree
        for name in parents:
            if section[name] is None:  # its last entry was cut out
                section[name] = CommentedMap()
            section = section[name]
        if change.kind == "remove":
            section.pop(key, None)
        elif change.kind == "set" or key not in section:
            section[key] = _styled(change.new)
    return _dump(tree)


class _Representer(RoundTripRepresenter):  # type: ignore[misc] # mypy skips ruamel
    """Writes what every YAML reader reads alike: null by name, floats with a point."""

    def represent_none(self, _: None) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:null", "null")

    def represent_float(self, value: float) -> yaml.ScalarNode:
        node = super().represent_float(value)
        if "e" in node.value and "." not in node.value:
            node.value = node.value.replace("e", ".0e")
        return node


_Representer.add_representer(type(None), _Representer.represent_none)
_Representer.add_representer(float, _Representer.represent_float)


def _writer() -> YAML:
    writer = YAML()
    writer.Representer = _Representer
    writer.preserve_quotes = True
    writer.width = 1 << 20  # never fold a long line
    writer.indent(mapping=2, sequence=4, offset=2)
    return writer


def _dump(tree: object) -> str:
    out = io.StringIO()
    _writer().dump(tree, out)
    return out.getvalue()


def _styled(value: object) -> object:
    """Return a value as ruamel writes it in params.yaml's style: lists and inner maps in a line.

    A text with a colon needs a line of its own: for `exp run -S` DVC writes params.yaml anew and
    leaves the quotes out, and its own reader ends a plain word of a map in a line at the colon.
    """
    if isinstance(value, list):
        row = CommentedSeq(_styled(item) for item in value)
        row.fa.set_flow_style()
        return row
    if isinstance(value, dict):
        entry = CommentedMap((key, _styled(item)) for key, item in value.items())
        if not any(isinstance(item, dict) or ":" in str(item) for item in value.values()):
            entry.fa.set_flow_style()
        return entry
    return value


def _insert_lines(text: str, change: Change) -> str:
    """Write a new variant's lines below its section's last one; flow style is left to ruamel."""
    section = _find(text, change.path[:-1])
    if section is None or not isinstance(section.value, yaml.MappingNode):
        return text
    if not _is_block(section.value):
        return text
    indent = " " * section.value.value[0][0].start_mark.column
    lines = text.splitlines(keepends=True)
    last = _last_line(lines, section.line, section.column, dashes=False)
    entry = _dump(CommentedMap({change.path[-1]: _styled(change.new)}))
    added = [indent + line for line in entry.splitlines(keepends=True)]
    return "".join(lines[: last + 1] + added + lines[last + 1 :])


def _cut_lines(text: str, change: Change) -> str:
    """Cut a variant's lines, or those of a block list below its key; flow style is left alone."""
    found = _find(text, change.path)
    is_entry = change.kind == "remove"
    if found is None:
        return text
    if not is_entry and not (isinstance(found.value, yaml.SequenceNode) and _is_block(found.value)):
        return text
    lines = text.splitlines(keepends=True)
    last = _last_line(lines, found.line, found.column, dashes=not is_entry)
    first = found.line if is_entry else found.line + 1
    return "".join(lines[:first] + lines[last + 1 :])


def _last_line(lines: list[str], line: int, column: int, *, dashes: bool) -> int:
    """Return the last line of the block below a key; comments after it belong to what follows."""
    last = line
    for number in range(line + 1, len(lines)):
        content = lines[number].strip()
        if not content or content.startswith("#"):
            continue
        indent = len(lines[number]) - len(lines[number].lstrip())
        if indent < column or (indent == column and not (dashes and content.startswith("-"))):
            break
        last = number
    return last


class _Found(NamedTuple):
    line: int
    column: int
    value: yaml.Node | None


def _is_block(node: yaml.CollectionNode) -> bool:
    return bool(node.value) and not node.flow_style


def _find(text: str, path: tuple[str, ...]) -> _Found | None:
    """Return where a key stands and its value, or None where a flow-style map holds the key."""
    found = _Found(0, 0, yaml.compose(text, yaml.SafeLoader))
    for name in path:
        if not isinstance(found.value, yaml.MappingNode) or not _is_block(found.value):
            return None
        key, value = next(pair for pair in found.value.value if pair[0].value == name)
        found = _Found(key.start_mark.line, key.start_mark.column, value)
    return found
