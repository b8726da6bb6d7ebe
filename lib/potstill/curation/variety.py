"""Which of a task's passed answers are kept: short ones, each unlike the others.

Two answers are the same code where their syntax trees differ by no more than the names that they
bind, docstrings, types and layout; JavaScript where it differs by notes and blank space alone.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

Row = dict[str, Any]

_NOTES = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)


def shape(code: str, language: str) -> str:
    """Return what is left of code where all that does not count is taken off.

    A JavaScript text that looks like a note is taken for one: two answers that differ in nothing
    else are the same code then.
    """
    if language != "python":
        return " ".join(_NOTES.sub(" ", code).split())
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            if ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:] or [ast.Pass()]
    numbers: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
            node.arg = numbers.setdefault(node.arg, f"_{len(numbers)}")
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            numbers.setdefault(node.id, f"_{len(numbers)}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = numbers.get(node.id, node.id)
    return ast.dump(tree)


def surplus(rows: Sequence[Row], most: int, ratio: float) -> Iterator[tuple[Row, str]]:
    """Yield the passed answers that are not kept, each with its reason.

    Args:
        rows: passed answers with task, language, code and reference.
        most: answers that are kept of a task, the shortest first.
        ratio: times as long as the task's shortest known solution that an answer may be.
    """
    tasks: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        tasks[row["language"], row["task"]].append(row)
    for answers in tasks.values():
        answers.sort(key=lambda row: (len(row["code"]), row["code"]))
        references = [row["reference"] for row in answers if row["reference"]]
        shortest = min(map(len, [answers[0]["code"], *references]))
        seen: set[str] = set()
        for row in answers:
            mine = shape(row["code"], row["language"])
            if len(row["code"]) > ratio * shortest:
                yield row, "long_winded"
            elif mine in seen:
                yield row, "same_code"
            elif len(seen) == most:
                yield row, "enough_answers"
            else:
                seen.add(mine)
