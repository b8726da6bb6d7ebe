"""Structural rules for Python that a policy may name: each closes one kind of hole.

A rule on nodes is asked at each node with the node around it, and yields (kind, detail). A rule on
text is asked once and yields (kind, detail, line, column).
"""

import ast
import math
import re
import string
from collections.abc import Callable, Iterator
from typing import TypeGuard

from potstill.subset.folding import LARGE_COUNT, fold, is_sequence

Refusals = Iterator[tuple[str, str]]
Rule = Callable[[ast.AST, ast.AST | None], Refusals]
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_PATTERNS = (ast.MatchAs, ast.MatchStar, ast.MatchMapping, ast.ExceptHandler)
NAMING = (ast.Name, ast.arg, *_FUNCTIONS, ast.alias, ast.Global, ast.Nonlocal, *_PATTERNS)
MEMBERS = (ast.Attribute, ast.MatchClass)
RULES: dict[str, tuple[tuple[type[ast.AST], ...], Rule]] = {}  # the classes that a rule looks at
_CODING = re.compile(r"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff\ud800-\udfff]|\r(?!\n)")
_PERCENT = re.compile(r"%[^a-zA-Z%]*\d{6}")
_WIDE = re.compile(r"\d{6}")
_WIDENING = ("ljust", "rjust", "center", "zfill", "expandtabs", "to_bytes")
_ALLOWED_DUNDERS = ("__name__",)  # `if __name__ == "__main__":` reads a text and nothing else


def _rule(*classes: type[ast.AST]) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        RULES[rule.__name__] = (classes, rule)
        return rule

    return register


def names(node: ast.AST) -> Iterator[str]:
    """Yield the names that a node reads or binds; keywords of a call bind none here."""
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, _FUNCTIONS):
        yield node.name
    elif isinstance(node, ast.alias):
        yield from (node.asname or node.name).split(".")
    elif isinstance(node, (ast.Global, ast.Nonlocal)):
        yield from node.names
    elif isinstance(node, (ast.MatchAs, ast.MatchStar, ast.ExceptHandler)) and node.name:
        yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest


def members(node: ast.AST) -> Iterator[str]:
    """Yield the attributes that a node names; a class pattern reads its keywords as attributes."""
    if isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.MatchClass):
        yield from node.kwd_attrs


@_rule(*NAMING, *MEMBERS, ast.keyword)
def underscored(node: ast.AST, _: ast.AST | None) -> Refusals:
    """Attributes that start with an underscore; names and keywords that start with two."""
    for name in members(node):
        if name.startswith("_"):
            yield "member", name
    keyword = [node.arg] if isinstance(node, ast.keyword) and node.arg else []
    for name in (*names(node), *keyword):
        if name.startswith("__") and name not in _ALLOWED_DUNDERS:
            yield "name", name


@_rule(*_FUNCTIONS)
def decorators(node: ast.AST, _: ast.AST | None) -> Refusals:
    """A decorator calls without a Call node."""
    if getattr(node, "decorator_list", None):
        yield "node", f"{type(node).__name__}: decorator"


@_rule(ast.Attribute)
def attribute_targets(node: ast.AST, _: ast.AST | None) -> Refusals:
    """Assigning to an attribute patches modules, builtins and functions; also as a loop target."""
    if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
        yield "node", f"Attribute: assignment to {node.attr}"


@_rule(ast.Name, ast.Call)
def type_compared(node: ast.AST, parent: ast.AST | None) -> Refusals:
    """`type` makes classes and hands out `type`: only type(x) as a side of a comparison."""
    if isinstance(node, ast.Name) and node.id == "type":
        called = isinstance(parent, ast.Call) and parent.func is node
        if not called:
            yield "name", "type"
    compared = isinstance(parent, ast.Compare)
    if _calls(node, "type") and not (compared and _one_argument(node)):
        yield "builtin", "type"


def _calls(node: ast.AST, name: str) -> TypeGuard[ast.Call]:
    """Say whether a node calls a plain name."""
    called = node.func if isinstance(node, ast.Call) else None
    return isinstance(called, ast.Name) and called.id == name


def _one_argument(call: ast.Call) -> bool:
    return len(call.args) == 1 and not call.keywords and not isinstance(call.args[0], ast.Starred)


@_rule(ast.Attribute)
def format_templates(node: ast.AST, parent: ast.AST | None) -> Refusals:
    """str.format reads attributes by text: only on a literal whose fields are plain names."""
    if not isinstance(node, ast.Attribute) or node.attr not in ("format", "format_map"):
        return
    literal = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    called = isinstance(parent, ast.Call) and parent.func is node
    if not (literal and called and node.attr == "format" and _plain(node.value.value)):  # type: ignore[attr-defined]
        yield "member", node.attr


def _plain(template: str) -> bool:
    """Say whether a template only places its arguments, at no great width."""
    try:
        fields = list(string.Formatter().parse(template))
    except ValueError:
        return False
    for _, name, spec, _ in fields:
        if name is not None and not re.fullmatch(r"\w*", name):
            return False
        if spec and (_WIDE.search(spec) or not _plain(spec)):
            return False
    return True


@_rule(ast.While, ast.Call)
def endless_loops(node: ast.AST, _: ast.AST | None) -> Refusals:
    """`while` with a constant true test and no way out; iter(callable, sentinel)."""
    if isinstance(node, ast.While) and not _leaves(node.body, loops=0):
        test = node.test
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            constant = isinstance(test.operand, ast.Constant) and not test.operand.value
        else:
            constant = isinstance(test, ast.Constant) and bool(test.value)
        if constant:
            yield "limit", "While: a loop without end"
    if _calls(node, "iter") and not _one_argument(node):
        yield "limit", "iter: an iterator without end"


def _leaves(body: list[ast.stmt], loops: int) -> bool:
    """Say whether a loop's body can leave it: a return, or a break of its own."""
    for node in body:
        if isinstance(node, ast.Return) or (isinstance(node, ast.Break) and not loops):
            return True
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        inner = loops + isinstance(node, (ast.For, ast.While))
        parts = (("body", inner), ("orelse", loops), ("handlers", loops), ("finalbody", loops))
        if any(_leaves(getattr(node, field, []), depth) for field, depth in parts):
            return True
    return False


@_rule(ast.BinOp, ast.Call)
def large_constants(node: ast.AST, _: ast.AST | None) -> Refusals:
    """Numbers and sequences of constants that would not fit: 9**9**9, 'a' * 10**10."""
    if isinstance(node, ast.BinOp):
        if fold(node) == math.inf and math.inf not in (fold(node.left), fold(node.right)):
            yield "limit", "BinOp: a number with more than 20,000 digits"
        for one, other in ((node.left, node.right), (node.right, node.left)):
            if isinstance(node.op, ast.Mult) and is_sequence(one) and _large(other):
                yield "limit", f"BinOp: a sequence of more than {LARGE_COUNT} items"
    if isinstance(node, ast.Call) and node.args and _large(node.args[0]):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if called in _WIDENING or name in ("bytes", "bytearray"):
            yield "limit", f"Call: {called or name} of more than {LARGE_COUNT}"


def _large(node: ast.AST) -> bool:
    count = fold(node)
    return count is not None and count > LARGE_COUNT


@_rule(ast.Constant, ast.FormattedValue, ast.Call)
def wide_formats(node: ast.AST, _: ast.AST | None) -> Refusals:
    """Format texts that pad to a million: '%0999999999d', f'{x:999999999}', format(x, '...')."""
    text = ""
    if isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
        text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
        text = (_PERCENT.search(text) or [""])[0]
    elif isinstance(node, ast.FormattedValue) and isinstance(node.format_spec, ast.JoinedStr):
        parts = node.format_spec.values
        text = " ".join(str(part.value) for part in parts if isinstance(part, ast.Constant))
    elif _calls(node, "format"):
        text = " ".join(str(arg.value) for arg in node.args[1:] if isinstance(arg, ast.Constant))
    if _WIDE.search(text):
        yield "limit", f"{type(node).__name__}: a format of great width"


def coding_line(code: str) -> Iterator[tuple[str, str, int, int]]:
    """A coding line that names another encoding changes what an executor reads from a file."""
    for number, line in enumerate(code.split("\n", 2)[:2], 1):
        match = _CODING.match(line)
        if match and match[1].lower().replace("_", "-") not in ("utf-8", "utf8"):
            yield "pattern", f"coding: {match[1]}", number, match.start(1)


def control_characters(code: str) -> Iterator[tuple[str, str, int, int]]:
    """Characters that editors hide and parsers read each in their own way."""
    match = _CONTROL.search(code)
    if match:
        line = code.count("\n", 0, match.start()) + 1
        column = match.start() - (code.rfind("\n", 0, match.start()) + 1)
        yield "pattern", f"control character U+{ord(match[0][0]):04X}", line, column


TEXT_RULES = {rule.__name__: rule for rule in (coding_line, control_characters)}
