"""Constant folding with a bound: how large would the value of this expression be?"""

import ast
import math
import operator

LARGE_COUNT = 10_000_000  # items of a sequence
_LARGE_BITS = 1 << 16  # of an integer: 20,000 digits
_PLAIN = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Pow: operator.pow,
    ast.LShift: operator.lshift,
    ast.FloorDiv: operator.floordiv,
}


def fold(node: ast.AST) -> int | float | None:
    """Return the integer that constants give, inf where it would be huge, None where unknown."""
    if isinstance(node, ast.Constant):
        value = node.value
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return int(value) if whole else None  # type: ignore[arg-type]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = fold(node.operand)
        return -value if value is not None and isinstance(node.op, ast.USub) else value
    if not isinstance(node, ast.BinOp) or type(node.op) not in _PLAIN:
        return None
    left, right = fold(node.left), fold(node.right)
    if left is None or right is None:
        return None
    if math.isinf(left) or math.isinf(right):
        return math.inf
    return _apply(node.op, int(left), int(right))


def _apply(op: ast.operator, left: int, right: int) -> int | float | None:
    if isinstance(op, (ast.Pow, ast.LShift)) and right < 0:
        return None
    if isinstance(op, ast.FloorDiv) and right == 0:
        return None
    bits = left.bit_length() * (right if isinstance(op, ast.Pow) and abs(left) > 1 else 1)
    bits += right if isinstance(op, ast.LShift) and left else right.bit_length()
    return math.inf if bits > _LARGE_BITS else int(_PLAIN[type(op)](left, right))


def is_sequence(node: ast.AST) -> bool:
    """Say whether an expression is a text, bytes, list or tuple by its form."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, (str, bytes))
    return isinstance(node, (ast.List, ast.Tuple, ast.JoinedStr, ast.ListComp))
