"""The shape of a program: its syntax tree in one line, without the names that its author chose.

Names that the program binds become `_`, constants their type; docstrings, annotations and imports
are left out. What it calls of others (`len`, `.append`) stays: who copies a solution under other
names calls the same.
"""

import ast
from collections.abc import Iterator, Sequence

from potstill.subset import javascript

Shape = tuple[str, ...]  # the nodes, from the top, a parent before its children
_LEFT_OUT = (ast.Import, ast.ImportFrom, ast.expr_context)
_UNSEEN_FIELDS = {"returns", "annotation", "type_comment", "type_params", "decorator_list"}


def shapes(codes: Sequence[str], language: str) -> list[Shape]:
    """Return the shape of each program; an empty one of what cannot be parsed.

    Raises:
        InputError: Node or acorn is not installed.
    """
    if language == "javascript":
        return [tuple(shape) for shape in javascript.shapes(codes)]
    return [_python(code) for code in codes]


def _python(code: str) -> Shape:
    try:
        tree = ast.parse(code)
        return tuple(_nodes(tree, frozenset(_bound(tree))))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()


def _bound(tree: ast.AST) -> Iterator[str]:
    """Yield the names that a program gives."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.ClassDef(name=name) | ast.ExceptHandler(name=str(name)) | ast.arg(arg=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name


def _nodes(node: ast.AST, bound: frozenset[str]) -> Iterator[str]:
    match node:
        case ast.Name(id=name):
            yield "_" if name in bound else name
        case ast.Constant(value=value):
            yield type(value).__name__
        case ast.Expr(value=ast.Constant()):
            return
        case ast.Attribute(attr=name):
            yield f".{name}"
            yield from _nodes(node.value, bound)
        case _ if not isinstance(node, _LEFT_OUT):
            yield type(node).__name__
            for key, value in ast.iter_fields(node):
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST) and key not in _UNSEEN_FIELDS:
                        yield from _nodes(child, bound)
