"""Python functions that stand alone: each with the imports and helpers of its module that it uses.

What a function reads and does not bind is looked up in its module. Imports of the standard
library, constants and plain functions come along, with what those read in turn; everything else
(classes, names that depend on a condition, other packages) drops the function with its reason.
"""

import ast
import builtins
import symtable
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from potstill import files
from potstill.mining.places import Place

_BUILTINS = frozenset(dir(builtins))
_MAX_PARTS = 12  # helpers, constants and imports that come along
_Plain = ast.FunctionDef | ast.Assign | ast.AnnAssign | ast.Import | ast.ImportFrom


class Dropped(Exception):  # noqa: N818 - an event, not an error
    """A function cannot stand alone; its text is the reason."""


@dataclass
class Module:
    """What the top level of a module binds."""

    functions: list[ast.FunctionDef]
    plain: dict[str, _Plain] = field(default_factory=dict)  # bound once, by one of these
    reasons: dict[str, str] = field(default_factory=dict)  # why a name cannot come along


def mine(place: Place) -> Iterator[dict[str, Any] | str]:
    """Yield the documented top-level functions of a place, and the reason for each that is dropped.

    Rows: id, source (collection and path), licence, language, name, arguments, docstring, code
    (what it needs of its module, then the function without its docstring), group (collection and
    module: splits are made by it).
    """
    for path, text in sources(place):
        module = read(text)
        for documented in module.functions if module else ():
            docstring = ast.get_docstring(documented)
            if not docstring or not module:
                continue
            try:
                function, code = _best(documented, module)
            except Dropped as reason:
                yield str(reason)
                continue
            yield {
                "id": files.row_id(path, function.name, code),
                "source": f"{place.name}:{path}",
                "licence": place.licence,
                "language": "python",
                "name": function.name,
                "arguments": ast.unparse(function.args),
                "docstring": docstring,
                "code": code,
                "group": f"{place.name}:{path}",
            }


def sources(place: Place) -> Iterator[tuple[str, bytes]]:
    """Yield path and bytes of each Python file."""
    return place.sources((".py",))


def read(text: bytes) -> Module | None:
    """Return what a module binds, or None of a file that is no Python."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # libraries ship files that are broken on purpose
    module = Module([node for node in tree.body if isinstance(node, ast.FunctionDef)])
    for node in tree.body:
        bound = sorted(_bound(node))
        for name in bound:
            if name in module.plain or name in module.reasons:
                module.reasons[name] = "bound_twice"
            elif isinstance(node, _Plain) and _is_plain(node):
                module.plain[name] = node
            else:
                kind = isinstance(node, ast.ClassDef)
                module.reasons[name] = "needs_class" if kind else "needs_condition"
    return module


def _bound(node: ast.stmt) -> set[str]:
    """Return the names that a statement of the top level binds, in it or below it."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    names = {x.id for x in ast.walk(node) if isinstance(x, ast.Name) and _is_stored(x)}
    for inner in ast.walk(node):
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(inner.name)
        elif isinstance(inner, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in inner.names}
    return names


def _is_stored(name: ast.Name) -> bool:
    return not isinstance(name.ctx, ast.Load)


def _is_plain(node: _Plain) -> bool:
    """Say whether a statement means the same wherever it stands."""
    if isinstance(node, ast.Assign):
        return len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
    if isinstance(node, ast.AnnAssign):
        return isinstance(node.target, ast.Name) and node.value is not None
    return not (isinstance(node, ast.FunctionDef) and node.decorator_list)


def _best(function: ast.FunctionDef, module: Module) -> tuple[ast.FunctionDef, str]:
    """Return a function with its types, or without where only they need more; and its code.

    Raises:
        Dropped: it cannot stand alone.
    """
    try:
        return function, stand_alone(function, module)
    except Dropped:
        plain = _Untyped().visit(ast.parse(ast.unparse(function)).body[0])
        plain.lineno = function.lineno
        return plain, stand_alone(plain, module)


class _Untyped(ast.NodeTransformer):
    """Takes the types of arguments and results away."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        return ast.arg(node.arg)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        node.returns = None
        return node


def stand_alone(function: ast.FunctionDef, module: Module) -> str:
    """Return the code of a function with what it needs, in the order of the module.

    Raises:
        Dropped: it cannot stand alone.
    """
    if function.decorator_list:
        raise Dropped("decorated")
    if function.name in module.reasons:
        raise Dropped(module.reasons[function.name])
    parts = {function.name: _bare(function)}
    left = _read_names(parts[function.name])
    while left:
        name = min(left)  # the same reason on every run
        left.remove(name)
        if name in parts or name in _BUILTINS - module.plain.keys() - module.reasons.keys():
            continue
        if name not in module.plain or name in module.reasons:
            raise Dropped(module.reasons.get(name, "needs_unknown"))
        if len(parts) > _MAX_PARTS:
            raise Dropped("needs_much")
        node = module.plain[name]
        if isinstance(node, ast.Import | ast.ImportFrom):
            parts[name] = _import(node, name)
            continue
        parts[name] = _bare(node) if isinstance(node, ast.FunctionDef) else ast.unparse(node)
        left |= _read_names(parts[name])
    order = sorted(parts, key=lambda name: (_is_no_import(module.plain[name]), _line(module, name)))
    return "\n".join(parts[name] for name in order)


def _is_no_import(node: ast.stmt) -> bool:
    return not isinstance(node, ast.Import | ast.ImportFrom)


def _line(module: Module, name: str) -> tuple[int, str]:
    return module.plain[name].lineno, name


def _bare(function: ast.FunctionDef) -> str:
    """Return a function without its docstring.

    Raises:
        Dropped: nothing is left.
    """
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    if not body or all(isinstance(node, ast.Pass) for node in body):
        raise Dropped("no_body")
    fields = {key: getattr(function, key) for key in function._fields}
    return ast.unparse(ast.FunctionDef(**{**fields, "body": body}, lineno=0))


def _read_names(code: str) -> set[str]:
    """Return the names that code takes from its module.

    Raises:
        Dropped: it binds some of them there.
    """
    names: set[str] = set()
    tables = [symtable.symtable(code, "<mined>", "exec")]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in table.get_symbols():
            is_module = table.get_type() == "module"
            if symbol.is_global() and symbol.is_assigned() and not is_module:
                raise Dropped("global_state")
            if symbol.is_global() or (is_module and not symbol.is_assigned()):
                names.add(symbol.get_name())
    return names


def _import(node: ast.Import | ast.ImportFrom, name: str) -> str:
    """Return the import of one name.

    Raises:
        Dropped: it is of no module of the standard library.
    """
    (alias,) = [x for x in node.names if (x.asname or x.name).split(".")[0] == name][:1]
    module = node.module or "" if isinstance(node, ast.ImportFrom) else alias.name
    is_relative = isinstance(node, ast.ImportFrom) and node.level > 0
    if is_relative or module.split(".")[0] not in sys.stdlib_module_names:
        raise Dropped("needs_package")
    if isinstance(node, ast.ImportFrom):
        return ast.unparse(ast.ImportFrom(module, [alias], 0))
    return ast.unparse(ast.Import([alias]))
