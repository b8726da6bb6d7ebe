"""A task as HumanEval puts it: a signature, a docstring and examples, to be completed.

All is written from what a row has: the request without its opening words, the arguments that the
code names, types and examples of the tests.
"""

import ast
import json
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from potstill import files

STYLES = (0, 1, 1, 2)  # of the types in Python: none, of `typing`, built-in
NUM_EXAMPLES, MOST_CHARACTERS, COLUMNS = 2, 72, 88
# "Create the function add(a, b). It should add": what stands before "add" is in the signature.
_LEAD = r"^(?:[A-Z]\w+) (?:(?:a|the) )?(?:function )?{name}\([^()]*\)"
_LINK = re.compile(r"^(?:,? (?:that|which)|[.:] It(?: should)?|[.:]| to)\s+")
_SCALARS = {bool: "bool", int: "int", float: "float", str: "str"}


def style(row: Mapping[str, Any]) -> int:
    """Return a style, drawn by a row's id: of those in Python a half has types of `typing`.

    With the import, that is, which an answer inside the subset does without; a quarter has built-in
    types, a quarter none.
    """
    return STYLES[int(files.row_id("style", row["id"]), 16) % len(STYLES)]


def stub(row: Mapping[str, Any], style: int) -> str | None:
    """Return the head of a row's function with what it shall do, None where that cannot be said.

    Args:
        row: with task, language, code, entry_point and tests.
        style: one of `STYLES`.
    """
    name, tests = row.get("entry_point"), row.get("tests")
    if not (name and tests):
        return None
    read = _python_names if row["language"] == "python" else _javascript_names
    names = read(row["code"], name)
    text = _said(row["task"], name)
    if names is None or '"""' in text or "*/" in text or "\\" in text:
        return None
    if row["language"] == "javascript":
        lines = ["/* " + textwrap.fill(text, COLUMNS, subsequent_indent="  ")]
        lines += [f"  {line}" for line in _examples(tests, name, json.dumps)]
        return "\n".join([*lines, "  */", f"const {name} = ({', '.join(names)}) => {{", ""])
    head, imports = _head(name, names, tests, style)
    body = textwrap.wrap(text, COLUMNS - 4)
    body += [*(["", *shown] if (shown := _examples(tests, name, repr)) else []), '"""']
    body[0] = f'"""{body[0]}'
    return "\n".join([*imports, head, *(f"    {line}".rstrip() for line in body), ""])


def _said(task: str, name: str) -> str:
    """Return what a request says after its opening words."""
    match = re.match(_LEAD.format(name=re.escape(name)), task)
    rest = _LINK.sub("", task[match.end() :]).strip() if match else task
    return rest[:1].upper() + rest[1:] if rest else task


def _python_names(code: str, name: str) -> list[str] | None:
    """Return the arguments of a function at the top of code; None if they are not plain names."""
    for node in ast.parse(code).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            given = node.args
            others = [
                given.posonlyargs,
                given.vararg,
                given.kwonlyargs,
                given.kwarg,
                given.defaults,
            ]
            return None if any(others) else [each.arg for each in given.args]
    return None


def _javascript_names(code: str, name: str) -> list[str] | None:
    """Return the arguments of a function that code declares; None if they are not plain names."""
    own = re.escape(name)
    form = rf"(?:function {own}\s*|(?:const|let|var) {own} = (?:function\s*\w*\s*)?)\(([^()]*)\)"
    match = re.search(form, code)
    names = [each.strip() for each in match.group(1).split(",")] if match else [""]
    return names if all(re.fullmatch(r"[A-Za-z_$][\w$]*", each) for each in names) else None


def _examples(
    tests: Sequence[Mapping[str, Any]], name: str, write: Callable[[Any], str]
) -> list[str]:
    """Return the first short calls with what they return, as a session shows them."""
    shown: list[str] = []
    for test in tests:
        call = f">>> {name}({', '.join(write(each) for each in test['args'])})"
        result = write(test["expected"])
        if max(len(call), len(result)) <= MOST_CHARACTERS and "\\" not in call + result:
            shown += [call, result]
        if len(shown) == 2 * NUM_EXAMPLES:
            break
    return shown


def _head(
    name: str, names: Sequence[str], tests: Sequence[Mapping[str, Any]], style: int
) -> tuple[str, list[str]]:
    """Return (the line with `def`, the lines with what its types need)."""
    columns = [
        [test["args"][n] for test in tests if n < len(test["args"])] for n in range(len(names))
    ]
    types = [_type(column) for column in [*columns, [test["expected"] for test in tests]]]
    if style == 1:
        types = [re.sub(r"\b(list|dict)\b", lambda m: m[0].capitalize(), t or "Any") for t in types]
    if style == 0 or None in types:
        return f"def {name}({', '.join(names)}):", []
    used = sorted(set(re.findall(r"\b(?:Any|Dict|List)\b", " ".join(map(str, types)))))
    if style == 1 and not used:
        used = ["List"]  # a module's head serves its other functions too
    typed = ", ".join(f"{each}: {kind}" for each, kind in zip(names, types, strict=False))
    imports = [f"from typing import {', '.join(used)}", "", ""] if used else []
    return f"def {name}({typed}) -> {types[-1]}:", imports


def _type(values: Sequence[Any]) -> str | None:
    """Return the one type of JSON values, None where they have several or it cannot be seen."""
    kinds = {type(value) for value in values}
    if kinds == {int, float}:
        return "float"
    if len(kinds) != 1:
        return None
    (kind,) = kinds
    if kind is list:
        inner = _type([each for value in values for each in value])
        return f"list[{inner}]" if inner else None
    if kind is dict:
        inner = _type([each for value in values for each in value.values()])
        return f"dict[str, {inner}]" if inner else None
    return _SCALARS.get(kind)
