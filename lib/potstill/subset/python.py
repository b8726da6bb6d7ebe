"""Python through the standard library's `ast`, as Python 3.11 parses it, in this process."""

import ast
import functools
import re
import threading
from collections import deque
from typing import Any

from potstill.subset import rules_python
from potstill.subset.policy import Language, Policy

Found = tuple[str, str, int, int]  # kind, detail, line (from 1), column (from 0)
_NO_NODES = ("identifier", "string", "int", "constant", "expr_context")
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


def visit(code: str, spec: Language, limits: Policy) -> tuple[list[Found], int]:
    """Return (why the tree of a program is refused, nodes visited).

    The order is the original's: node types in the order of `ast.walk`, then calls, then the rules
    that the original has not. Positions are those of the node, or of the nearest node around it.
    """
    try:
        tree = _parse(code)
    except SyntaxError as error:
        return [("parse_error", str(error), error.lineno or 0, max(0, (error.offset or 1) - 1))], 0
    except (RecursionError, MemoryError):
        return [("limit", "nested too deeply for the parser", 0, 0)], 0
    except ValueError as error:  # NUL bytes
        return [("parse_error", str(error), 0, 0)], 0
    if spec.rules or spec.blocked_names or spec.blocked_members:
        return _visit_all(code, tree, spec, limits)
    return _visit(tree, spec, limits)


def _parse(code: str) -> ast.Module:
    """Parse; a lone surrogate is read as U+FFFD, as it is after a round trip through UTF-8."""
    if not code.isascii():
        code = _LONE_SURROGATE.sub("\ufffd", code)
    try:
        return ast.parse(code)
    except RecursionError:
        return _parse_shallow(code)


def _parse_shallow(code: str) -> ast.Module:
    """Parse in a thread of its own: how deep the caller's stack is must not change a verdict."""
    results: list[ast.Module | BaseException] = []

    def work() -> None:
        try:
            results.append(ast.parse(code))
        except (RecursionError, MemoryError, SyntaxError, ValueError) as error:
            results.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if isinstance(results[0], BaseException):
        raise results[0]
    return results[0]


@functools.cache
def _children(kind: type[ast.AST]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the fields of a class that hold one node or None, and a list of nodes.

    The class's docstring is its ASDL signature. Contexts (Load, Store, Del) are left out: they are
    the same three objects everywhere and say nothing.
    """
    fields = re.findall(r"(\w+)([*?]?) (\w+)[,)]", kind.__doc__ or "")
    nodes = [(sort, name) for base, sort, name in fields if base not in _NO_NODES]
    return (
        tuple(name for sort, name in nodes if sort != "*"),
        tuple(name for sort, name in nodes if sort == "*"),
    )


@functools.lru_cache(maxsize=16)
def _allowed(names: frozenset[str]) -> dict[type, tuple[tuple[str, ...], tuple[str, ...]]]:
    kinds = {name: getattr(ast, name) for name in names if isinstance(getattr(ast, name, 0), type)}
    return {kind: _children(kind) for name, kind in kinds.items() if kind.__name__ == name}


def _visit(tree: ast.Module, spec: Language, limits: Policy) -> tuple[list[Found], int]:
    """Visit breadth first, level by level, as `ast.walk` does but several times faster."""
    found: list[Found] = []
    calls: list[Found] = []
    allowed, blocked = _allowed(spec.nodes), spec.blocked_calls
    nodes = depth = 0
    level: list[Any] = [tree]
    while level:
        depth += 1
        nodes += len(level)
        if nodes > limits.max_nodes or depth > limits.max_depth:
            return [*found, *calls, _too_large(limits)], nodes
        below: list[Any] = []
        for node in level:
            kind = node.__class__
            if kind in allowed:
                one, many = allowed[kind]
            elif node is None:  # an empty default, or the key of {**x}
                continue
            else:
                found.append(("node", kind.__name__, *place(node)))
                one, many = _children(kind)
            values = node.__dict__
            below += [values[name] for name in one if name in values]
            for name in many:
                below += values[name]
            if kind is ast.Call and _called(values["func"]) in blocked:
                calls.append(("builtin", _called(values["func"]), *place(node)))
        level = below
    return [*found, *calls], nodes


def _visit_all(
    code: str, tree: ast.Module, spec: Language, limits: Policy
) -> tuple[list[Found], int]:
    """Visit with names, members and rules; slower, for policies that have them."""
    found, nodes = _visit(tree, spec, limits)
    if found and found[-1][0] == "limit":
        return found, nodes
    for name in sorted(spec.rules & rules_python.TEXT_RULES.keys()):
        found += rules_python.TEXT_RULES[name](code)
    rules = [rule for name, rule in rules_python.RULES.items() if name in spec.rules]
    pairs: deque[tuple[ast.AST, ast.AST | None]] = deque([(tree, None)])
    while pairs:
        node, parent = pairs.popleft()
        for name in rules_python.names(node):
            if name in spec.blocked_names:
                found.append(("name", name, *place(node)))
        for name in rules_python.members(node):
            if name in spec.blocked_members:
                found.append(("member", name, *place(node)))
        for rule in rules:
            found += [(kind, detail, *place(node)) for kind, detail in rule(node, parent)]
        pairs.extend((child, node) for child in ast.iter_child_nodes(node))
    return found, nodes


def place(node: ast.AST) -> tuple[int, int]:
    """Return line and column of a node or of the first placed node below it, else (0, 0)."""
    for below in ast.walk(node):
        if hasattr(below, "lineno"):
            return below.lineno, below.col_offset  # type: ignore[attr-defined]
    return 0, 0


def _called(target: ast.expr) -> str:
    """Return the name that a call uses: f of f() and of x.f(); empty for anything else."""
    if isinstance(target, ast.Name):
        return target.id
    return target.attr if isinstance(target, ast.Attribute) else ""


def _too_large(limits: Policy) -> Found:
    return ("limit", f"more than {limits.max_nodes} nodes or {limits.max_depth} deep", 0, 0)
