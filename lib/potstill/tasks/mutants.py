"""Code with one fault: what a test must notice, and what a model learns to mend.

One place is changed the way people err: a comparison at its border, the wrong operator, a constant
that is off by one, a condition the wrong way round, a result that is not returned, a name misspelt.
In Python it is a node of the syntax tree; in JavaScript, whose tree nobody prints, a sign of the
text between blanks.

Sources: DeMillo, Lipton and Sayward 1978 (mutation analysis); the operators are those of
Offutt et al. 1996 ("sufficient mutation operators": relational, logical, arithmetic, constants).
"""

import ast
import copy
import random
import re
from collections.abc import Callable, Iterator

Change = Callable[[], None]
_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult, ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip


_SIGNS = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "===": "!==", "!==": "===", "+": "-", "-": "+",
    "*": "+", "/": "*", "%": "/", "&&": "||", "||": "&&",
}  # fmt: skip
_SIGN = re.compile(rf"(?<= )({'|'.join(map(re.escape, sorted(_SIGNS, key=len)[::-1]))})(?= )")
_NUMBER = re.compile(r"(?<![\w.])(\d+)(?![\w.])")
_RETURN = re.compile(r"\breturn (?=[^;\s])")
_PARAMETER = re.compile(r"function\s+\w+\s*\(\s*[A-Za-z_]\w*")


def mutants(code: str, most: int, seed: str, language: str = "python") -> list[str]:
    """Return up to `most` different programs that are the code with one fault each.

    They come in a drawn order, so that a few of them are of different kinds and places.

    Args:
        code: the program.
        most: at most so many.
        seed: of the order.
        language: python or javascript.
    """
    if language == "javascript":
        found = list(dict.fromkeys(text for text in _javascript(code) if text != code))
        random.Random(seed).shuffle(found)
        return found[:most]
    return _python(code, most, seed)


def _javascript(code: str) -> Iterator[str]:
    """Yield the program with each of its signs changed."""
    for match in _SIGN.finditer(code):
        yield code[: match.start()] + _SIGNS[match.group()] + code[match.end() :]
    for match in _NUMBER.finditer(code):
        yield code[: match.start()] + str(int(match.group()) + 1) + code[match.end() :]
    for match in _RETURN.finditer(code):
        yield code[: match.start()] + code[match.end() :]
    for match in _PARAMETER.finditer(code):
        yield code[: match.end()] + "_" + code[match.end() :]


def _python(code: str, most: int, seed: str) -> list[str]:
    tree = ast.parse(code)
    sites = sum(1 for _ in _changes(tree))
    order = list(range(sites))
    random.Random(seed).shuffle(order)
    found: dict[str, None] = {}
    same = ast.unparse(tree)
    for site in order:
        if len(found) == most:
            break
        changed = copy.deepcopy(tree)
        list(_changes(changed))[site]()
        text = ast.unparse(ast.fix_missing_locations(changed))
        if text != same:
            found[text] = None
    return list(found)


def _changes(tree: ast.AST) -> Iterator[Change]:
    """Yield what would change each site, always in the same order."""
    for node in ast.walk(tree):
        yield from _of(node)


def _of(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Compare(ops=[op, *_]) if type(op) in _COMPARED:
            yield _set(node, "ops", [_COMPARED[type(op)](), *node.ops[1:]])
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in _COMPUTED:
            yield _set(node, "op", _COMPUTED[type(op)]())
        case ast.BoolOp(op=op):
            yield _set(node, "op", ast.Or() if isinstance(op, ast.And) else ast.And())
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield _set(node, "op", ast.Not()) if operand is None else _become(node, operand)
        case ast.Constant(value=bool(value)):
            yield _set(node, "value", not value)
        case ast.Constant(value=int(value)):
            yield _set(node, "value", value + 1)
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            yield _set(node, "test", ast.UnaryOp(ast.Not(), test))
        case ast.Return(value=ast.expr()):
            yield _set(node, "value", ast.Constant(None))
        case ast.FunctionDef(args=ast.arguments(args=[first, *_])):
            yield _set(first, "arg", f"{first.arg}_")


def _set(node: ast.AST, name: str, value: object) -> Change:
    return lambda: setattr(node, name, value)


def _become(node: ast.UnaryOp, operand: ast.expr) -> Change:
    """Return what takes a `not` away: twice `not` keeps the node and its truth."""
    return lambda: setattr(node, "operand", ast.UnaryOp(ast.Not(), operand))
