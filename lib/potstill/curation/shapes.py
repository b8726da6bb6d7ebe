"""The shape of a program: its syntax tree in one line, without the names that its author chose.

What counts else depends on what is asked. Who copied? Names that the program binds become `_`,
constants their type; docstrings, annotations, decorators and imports are left out. What it calls of
others (`len`, `.append`) stays: who copies a solution under other names calls the same. Are two the
same code? Then `exact`: variables become numbers by their first appearance, and all but docstrings,
annotations, notes and layout stays as it is, names of functions and constants too.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from potstill.subset import javascript

Shape = tuple[str, ...]  # the nodes, from the top, a parent before its children
_LEFT_OUT = (ast.Import, ast.ImportFrom, ast.expr_context)
_UNSEEN_FIELDS = {"returns", "annotation", "type_comment", "type_params", "decorator_list"}


def shapes(codes: Sequence[str], language: str, *, exact: bool = False) -> list[Shape]:
    """Return the shape of each program; an empty one of what cannot be parsed.

    Raises:
        InputError: Node or acorn is not installed.
    """
    if language == "javascript":
        return [tuple(shape) for shape in javascript.shapes(codes, exact=exact)]
    return [_python(code, exact) for code in codes]


def _python(code: str, exact: bool) -> Shape:
    try:
        tree = ast.parse(code)
        names: dict[str, str] = {}
        for name in _bound(tree, exact):
            names.setdefault(name, f"_{len(names)}" if exact else "_")
        return (ast.dump(_Plain(names).visit(tree)),) if exact else tuple(_nodes(tree, names))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()


def _bound(tree: ast.AST, exact: bool) -> Iterator[str]:
    """Yield the names that a program gives; where it is exact, not those of what it defines."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) if not exact:
                yield name
            case ast.ClassDef(name=name) if not exact:
                yield name
            case ast.ExceptHandler(name=str(name)) | ast.arg(arg=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name


class _Plain(ast.NodeTransformer):
    """Take off what does not count where code is compared exactly."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def visit(self, node: ast.AST) -> Any:  # noqa: ANN401 - as its base says
        match node:
            case ast.Expr(value=ast.Constant()):
                return None
            case ast.Name():
                node.id = self._names.get(node.id, node.id)
            case ast.arg():
                node.arg, node.annotation = self._names[node.arg], None
            case ast.ExceptHandler(name=str(name)):
                node.name = self._names[name]
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                node.returns = None
            case ast.Global() | ast.Nonlocal():
                node.names = [self._names.get(name, name) for name in node.names]
        return self.generic_visit(node)


def _nodes(node: ast.AST, names: Mapping[str, str]) -> Iterator[str]:
    match node:
        case ast.Name(id=name):
            yield names.get(name, name)
        case ast.Constant(value=value):
            yield type(value).__name__
        case ast.Expr(value=ast.Constant()):
            return
        case ast.Attribute(attr=name):
            yield f".{name}"
            yield from _nodes(node.value, names)
        case _ if not isinstance(node, _LEFT_OUT):
            yield type(node).__name__
            for key, value in ast.iter_fields(node):
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST) and key not in _UNSEEN_FIELDS:
                        yield from _nodes(child, names)
