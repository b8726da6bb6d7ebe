"""Python through the standard library's `ast`, as Python 3.11 parses it, in this process."""

import ast
import functools
import re
import threading
from collections import deque
from collections.abc import Callable
from itertools import takewhile
from operator import attrgetter
from typing import Any

from potstill.subset import rules_python
from potstill.subset.policy import Language, Policy

_Expand = tuple[Callable[[Any], tuple[Any, ...]] | None, tuple[tuple[str, bool], ...]]
_SECOND = ("_attributes",)  # of every class: a tuple of texts, which counts as a leaf
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
def _children(kind: type[ast.AST]) -> tuple[tuple[str, bool], ...]:
    """Return the fields of a class that hold nodes, in their order: (name, whether it is a list).

    The class's docstring is its ASDL signature. Contexts (Load, Store, Del) are left out: they are
    the same three objects everywhere and say nothing.
    """
    fields = re.findall(r"(\w+)([*?]?) (\w+)[,)]", kind.__doc__ or "")
    return tuple((name, sort == "*") for base, sort, name in fields if base not in _NO_NODES)


@functools.lru_cache(maxsize=16)
def _expanders(allowed: frozenset[str]) -> tuple[frozenset[type], dict[type, _Expand]]:
    """Return (allowed classes without children, how the children of the others are read).

    Reading the first single fields at once, and passing over leaves without a look, is most of the
    speed.
    """
    kinds = {getattr(ast, name) for name in allowed if hasattr(ast, name)}
    expand: dict[type, _Expand] = {}
    for kind in kinds:
        children = _children(kind)
        first = [name for name, _ in takewhile(lambda child: not child[1], children)]
        if children:
            # a getter of one field would return it bare, so that it is read with a second
            getter = attrgetter(*first, *_SECOND[: len(first) == 1]) if first else None
            expand[kind] = (getter, children[len(first) :])
    return frozenset(kinds - expand.keys()) | {type(None), tuple}, expand


def _visit(tree: ast.Module, spec: Language, limits: Policy) -> tuple[list[Found], int]:
    """Visit breadth first, level by level, as `ast.walk` does but several times faster."""
    found: list[Found] = []
    calls: list[Found] = []
    leaves, expand = _expanders(spec.nodes)
    nodes = depth = 0
    level: list[Any] = [tree]
    while level:
        depth += 1
        nodes += len(level)
        if nodes > limits.max_nodes or depth > limits.max_depth:
            return [*found, *calls, _too_large(limits)], nodes
        below: list[Any] = []
        for node in [node for node in level if node.__class__ not in leaves]:
            kind = node.__class__
            if kind in expand:
                getter, rest = expand[kind]
                if getter:
                    below += getter(node)
                for name, is_list in rest:
                    value = getattr(node, name)
                    below += value if is_list else (value,)
            else:
                found.append(("node", kind.__name__, *place(node)))
                below += ast.iter_child_nodes(node)
            if kind is ast.Call and _called(node.func) in spec.blocked_calls:
                calls.append(("builtin", _called(node.func), *place(node)))
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
    checks = _checks(spec)
    pairs: deque[tuple[Any, ast.AST | None]] = deque([(tree, None)])
    while pairs:
        node, parent = pairs.popleft()
        for check in checks.get(node.__class__, ()):
            found += [(kind, detail, *place(node)) for kind, detail in check(node, parent)]
        pairs += [(child, node) for child in ast.iter_child_nodes(node)]
    return found, nodes


@functools.lru_cache(maxsize=16)
def _checks(spec: Language) -> dict[type, list[rules_python.Rule]]:
    """Return what is asked at each class of node: blocked names and members, then the rules."""

    def names(node: ast.AST, _: ast.AST | None) -> rules_python.Refusals:
        return (("name", name) for name in rules_python.names(node) if name in spec.blocked_names)

    def members(node: ast.AST, _: ast.AST | None) -> rules_python.Refusals:
        blocked = spec.blocked_members
        return (("member", name) for name in rules_python.members(node) if name in blocked)

    found: dict[type, list[rules_python.Rule]] = {}
    rules = [rules_python.RULES[name] for name in rules_python.RULES if name in spec.rules]
    for classes, rule in ((rules_python.NAMING, names), (rules_python.MEMBERS, members), *rules):
        for kind in classes:
            found.setdefault(kind, []).append(rule)
    return found


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
