"""Arguments to try a function with: from its docstring's examples, types, defaults and names.

What a function takes is mostly not written down, so many guesses are made and those that it accepts
are kept: `proof` runs them. All values are JSON's. The same function gets the same guesses.
"""

import ast
import doctest
import itertools
import random
from dataclasses import dataclass
from typing import Any

Args = list[Any]
_MOST = 48  # guesses for one function
_FEW = 4  # kinds of each of several arguments
_LONGEST, _LARGEST = 12, 10_000  # of a function's own constants, of which values are made
_WORDS = (
    "a",
    "hello world",
    "Level",
    "abc abc",
    "x=1; y=2",
    "12",
    "",
    "The quick brown fox",
    "a,b,,c",
)
VALUES: dict[str, tuple[Any, ...]] = {
    "int": (3, 0, 7, -2, 12, 1, 100, 5),
    "float": (2.5, 0.0, -1.25, 10.0, 0.1),
    "str": (*_WORDS, "/usr/lib/file.tar.gz", "snake_case_name", "<b>bold</b> & more"),
    "bool": (True, False),
    "list": ([3, 1, 2], [], [5], [1, 1, 2, 3, 5, 8], [-1, 0, 4, 4], [10, 9, 8, 7]),
    "texts": (["b", "a", "c"], [], ["one", "two", "two"], ["x"], ["abc", "", "Zed"]),
    "nested": ([[1, 2], [3, 4]], [[0]], [[1, 2, 3], [4, 5, 6]], [["a", 1], ["b", 2]]),
    "dict": ({"a": 1, "b": 2}, {}, {"x": 5}, {"k": 3, "a": 1, "z": 0}),
    "none": (None,),
}
_OF_TYPE = {
    "int": "int", "float": "float", "str": "str", "bool": "bool", "dict": "dict", "list": "list",
    "List": "list", "Sequence": "list", "Iterable": "list", "tuple": "list", "Tuple": "list",
    "Dict": "dict", "Mapping": "dict", "complex": "float",
}  # fmt: skip
# Stems of the names that people give to arguments.
_OF_NAME = (
    ("str", ("str", "text", "name", "line", "word", "path", "url", "char", "prefix", "suffix")),
    ("int", ("num", "count", "size", "width", "index", "year", "month", "day", "start", "stop")),
    ("texts", ("names", "lines", "words", "strings", "tokens")),
    ("list", ("list", "items", "seq", "values", "array", "iter", "data", "nums", "numbers")),
    ("nested", ("matrix", "grid", "rows", "pairs")),
    ("dict", ("dict", "map", "kwargs", "config", "options", "table")),
    ("bool", ("is_", "has_", "flag", "strict", "verbose")),
)  # fmt: skip
_ANY = ("str", "int", "list", "texts", "dict", "float", "nested")  # where nothing is known


@dataclass(frozen=True)
class Signature:
    """What is known of a function's arguments.

    Attributes:
        examples: arguments that its documentation shows; they come first.
        kinds: of each argument, keys of `VALUES`, the likeliest first.
        required: the first arguments, which have no default.
        constants: texts and integers in its code: values made of them lead into its branches.
    """

    examples: list[Args]
    kinds: list[list[str]]
    required: int
    constants: list[str | int]


def guesses(signature: Signature, seed: str) -> list[Args]:
    """Return positional arguments to try, without repetition; none of a function that takes none.

    Args:
        signature: of the function.
        seed: of the draws.
    """
    found, kinds, required = list(signature.examples), signature.kinds, signature.required
    if not kinds:
        return found
    source, own = random.Random(seed), _own_values(signature.constants)
    for chosen in _assignments(kinds, source):
        found.append([source.choice([*own.get(kind, ()), *VALUES[kind]]) for kind in chosen])
        if required < len(kinds) and source.random() < 0.5:
            found[-1] = found[-1][: max(1, required)]
    return list({repr(args): args for args in found}.values())[:_MOST]


def of_python(name: str, code: str, docstring: str) -> Signature:
    """Return what Python code that defines a function, and its docstring, say of its arguments."""
    function = _definition(name, code)
    arguments = function.args
    takes = [*arguments.posonlyargs, *arguments.args]
    needed = [x for x, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if not d]
    defaults = [None] * (len(takes) - len(arguments.defaults)) + list(arguments.defaults)
    kinds = [_kinds(each, default) for each, default in zip(takes, defaults, strict=True)]
    values = [x.value for x in ast.walk(function) if isinstance(x, ast.Constant)]
    return Signature(
        _examples(name, docstring),
        [] if needed else kinds,
        len(takes) - len(arguments.defaults),
        [v for v in values if isinstance(v, str | int) and type(v) is not bool and is_plain(v)],
    )


def _definition(name: str, code: str) -> ast.FunctionDef:
    body = ast.parse(code).body
    (function,) = [x for x in body if isinstance(x, ast.FunctionDef) and x.name == name]
    return function


def _examples(name: str, docstring: str) -> list[Args]:
    """Return the literal arguments of the calls that a docstring shows."""
    try:
        shown = doctest.DocTestParser().get_examples(docstring)
    except ValueError:
        return []
    found = []
    for example in shown:
        try:
            calls = [x for x in ast.walk(ast.parse(example.source)) if isinstance(x, ast.Call)]
            mine = [x for x in calls if isinstance(x.func, ast.Name) and x.func.id == name]
            found += [_plain(x) for x in mine if not x.keywords]
        except (SyntaxError, ValueError, TypeError):
            continue
    return found


def _plain(call: ast.Call) -> Args:
    """Return the arguments of a call.

    Raises:
        ValueError: one is no value of JSON's.
    """
    values = [ast.literal_eval(each) for each in call.args]
    if not all(map(is_plain, values)):
        raise ValueError("not JSON's")
    return values


def is_plain(value: object) -> bool:
    """Say whether JSON gives a value back as it was; texts must be printable in UTF-8."""
    if value is None or isinstance(value, bool | int):
        return True
    if isinstance(value, float):
        return value == value and abs(value) != float("inf")  # noqa: PLR0124 - NaN is not itself
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)
    if isinstance(value, list):
        return all(map(is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value) and is_plain(list(value.values()))
    return False


def _kinds(argument: ast.arg, default: ast.expr | None) -> list[str]:
    """Return the kinds of values that an argument may take, the likeliest first."""
    if argument.annotation is not None:
        kinds = _of_type(argument.annotation)
        if kinds:
            return list(dict.fromkeys(kinds))
    if isinstance(default, ast.Constant) and type(default.value).__name__ in VALUES:
        return [type(default.value).__name__]
    return named(argument.arg)


def named(argument: str) -> list[str]:
    """Return the kinds of values that an argument of some name may take."""
    name = argument.lower()
    found = [kind for kind, stems in _OF_NAME if any(stem in name for stem in stems)]
    return list(dict.fromkeys([*reversed(found), *_ANY]))


def _of_type(annotation: ast.expr) -> list[str]:  # noqa: PLR0911 - one for each form
    """Return the kinds of values that a type allows; none of a type that is not JSON's."""
    match annotation:
        case ast.Constant(value=None):
            return ["none"]
        case ast.Constant(value=str(text)):
            try:
                return _of_type(ast.parse(text, mode="eval").body)
            except SyntaxError:
                return []
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return [*_of_type(left), *_of_type(right)]
        case ast.Subscript(value=outer, slice=inner):
            parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            kinds = [kind for part in parts for kind in _of_type(part)]
            if _name(outer) in ("Optional", "Union"):
                return [*kinds, "none"] if _name(outer) == "Optional" else kinds
            if _of_type(outer) == ["list"] and kinds:
                return [{"str": "texts", "list": "nested"}.get(kinds[0], "list")]
            return _of_type(outer)
    return [_OF_TYPE[_name(annotation)]] if _name(annotation) in _OF_TYPE else []


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def _assignments(kinds: list[list[str]], source: random.Random) -> list[tuple[str, ...]]:
    """Return kinds for all arguments, the likeliest together; few of them come again and again."""
    wide = len(_ANY) if len(kinds) == 1 else _FEW
    ranked = itertools.islice(itertools.product(*(each[:wide] for each in kinds)), 512)
    ordered = sorted(ranked, key=lambda chosen: sum(map(list.index, kinds, chosen)))
    likely, rest = ordered[: _MOST // 4], ordered[_MOST // 4 :]
    source.shuffle(rest)
    rest = rest[: _MOST // 4]
    return [*itertools.islice(itertools.cycle(likely), _MOST - len(rest)), *rest]


def _own_values(constants: list[str | int]) -> dict[str, list[Any]]:
    """Return values made of the constants in a function: they lead into its branches."""
    found: dict[str, list[Any]] = {"str": [], "int": []}
    for value in constants:
        if isinstance(value, str) and 0 < len(value) <= _LONGEST:
            found["str"] += [f"ab{value}cd", value + "1", f"x {value}"]
        elif isinstance(value, int) and abs(value) <= _LARGEST:
            found["int"] += [value, value + 1]
    return found
