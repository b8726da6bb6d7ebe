"""Change values and entries in the text of params.yaml, and leave all else as it stands."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.representer import RoundTripRepresenter


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


def edit(text: str, changes: list[Change]) -> str:
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
    """Return a value in params.yaml's style: lists of words and inner maps in a line.

    A text with a colon needs a line of its own: for `exp run -S` DVC writes params.yaml anew and
    leaves the quotes out, and its own reader ends a plain word of a map in a line at the colon.
    """
    if isinstance(value, list):
        row = CommentedSeq(_styled(item) for item in value)
        if _fits_a_line(value):
            row.fa.set_flow_style()
        return row
    if isinstance(value, dict):
        entry = CommentedMap((key, _styled(item)) for key, item in value.items())
        if _fits_a_line(value.values()):
            entry.fa.set_flow_style()
        return entry
    return value


def _fits_a_line(values: Iterable[object]) -> bool:
    return not any(isinstance(value, dict) or ":" in str(value) for value in values)


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
