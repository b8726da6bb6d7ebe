"""What JavaScript says of a function's arguments: JSDoc's types and examples, names, constants."""

import ast
import re

from potstill.testing.inputs import VALUES, Args, Signature, is_plain, named

_PARAM = re.compile(r"^@(?:param|arg|argument)\s+\{([^}]*)\}\s+(\[?)\s*(\w+)", re.M)
_CONSTANT = re.compile(r"""(["'])((?:(?!\1)[^\\\n]){1,12})\1|(?<![\w.])(\d{1,5})(?![\w.])""")
_KEY = re.compile(r"([{,]\s*)([A-Za-z_$][\w$]*)\s*:")
_WORD = re.compile(r"""(["'])(?:(?!\1)[^\\]|\\.)*\1|\b(true|false|null)\b""")
_PYTHON = {"true": "True", "false": "False", "null": "None"}
_OPEN, _CLOSE = "([{", ")]}"
_OF_TYPE = {
    "string": ["str"], "number": ["int", "float"], "boolean": ["bool"], "integer": ["int"],
    "int": ["int"], "float": ["float"], "null": ["none"], "object": ["dict"], "array": ["list"],
    "array<string>": ["texts"], "string[]": ["texts"], "array<array<number>>": ["nested"],
    "number[][]": ["nested"], "array<number>": ["list"], "number[]": ["list"],
    "array<*>": ["list", "texts"], "array<any>": ["list", "texts"], "arraylike": ["list", "str"],
}  # fmt: skip


def of_javascript(name: str, arguments: str, code: str, docstring: str) -> Signature:
    """Return what is known of the arguments of a function.

    One that takes its arguments apart in its head, or more of them than it names, has no kinds.

    Args:
        name: of the function.
        arguments: as they stand between its brackets.
        code: what defines it.
        docstring: its comment without the stars.
    """
    types = {found[2]: (found[0], bool(found[1])) for found in _PARAM.findall(docstring)}
    taken = [each.split("=")[0].strip() for each in _split(arguments)]
    plain = all(re.fullmatch(r"[\w$]+", each) for each in taken)
    given = [
        "=" not in text and not types.get(each, ("", False))[1]
        for text, each in zip(_split(arguments), taken, strict=True)
    ]
    constants = [text or int(number) for _, text, number in _CONSTANT.findall(code)]
    return Signature(
        _examples(name, docstring),
        [_of_type(types.get(each, ("", False))[0]) or named(each) for each in taken if plain],
        given.index(False) if False in given else len(given),
        constants,
    )


def _of_type(text: str) -> list[str]:
    """Return the kinds of values of a type of JSDoc; none of a type that is not JSON's."""
    text = text.replace(" ", "").lower().removeprefix("?").removeprefix("!").removesuffix("=")
    kinds = [kind for each in text.strip("()").split("|") for kind in _OF_TYPE.get(each, ())]
    assert set(kinds) <= VALUES.keys()
    return list(dict.fromkeys(kinds))


def _examples(name: str, docstring: str) -> list[Args]:
    """Return the arguments of the calls that a comment shows, where all are values of JSON's."""
    found = []
    for call in re.finditer(rf"\b{re.escape(name)}\(", docstring):
        end = _end(docstring, call.end())
        text = _KEY.sub(r'\1"\2":', docstring[call.end() : end])
        text = _WORD.sub(lambda word: _PYTHON.get(word[0], word[0]), text)
        try:
            values = ast.literal_eval(f"[{text}]")
        except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
            continue
        if values and is_plain(values):
            found.append(values)
    return found


def _end(text: str, start: int) -> int:
    """Return where the bracket that opens before `start` closes; texts with brackets mislead."""
    depth = 1
    for place in range(start, len(text)):
        depth += (text[place] in _OPEN) - (text[place] in _CLOSE)
        if not depth:
            return place
    return start


def _split(arguments: str) -> list[str]:
    """Return the parts between the commas that stand in no bracket."""
    parts, depth = [""], 0
    for char in arguments:
        depth += (char in _OPEN) - (char in _CLOSE)
        if char == "," and not depth:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts if part.strip()]
