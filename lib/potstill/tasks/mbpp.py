"""MBPP: short Python problems with three asserts each, shown to the model as the paper does.

Users point to the file; its rows have task_id, text, code, test_list, test_setup_code and split.
Test is the paper's; its training split is part of validation, since nothing here is trained on it,
and 90 problems tell little. Source: Austin et al. 2021, arXiv 2108.07732.
"""

import ast
from typing import Any

from potstill.errors import InputError
from potstill.models import formats
from potstill.tasks.problem import Problem, Text
from potstill.tasks.where import Where, read_rows

LICENCE = "CC-BY-4.0"
METHOD = "code"
SPLITS = ("validation", "test")
MADE_OF: tuple[str, ...] = ()
_OF = {"validation": ("train", "validation"), "test": ("test",)}  # splits of the file
TEXTS = ("task_id", "text", "code", "split")


def problems(where: Where) -> list[Problem]:
    """Return the split's problems, but those whose tests build objects of the solution's classes.

    Such an object cannot leave the process of the program, so no answer can be graded.
    """
    rows = [row for row in read_rows(where, "mbpp", TEXTS) if row["split"] in _OF[where.split]]
    if not rows:
        raise InputError(f"the file of mbpp has no problem of the split {where.split}")
    made = [_problem(row) for row in rows]
    return [item for item in made if item is not None]


def texts(where: Where) -> list[Text]:
    """Return the texts with their solutions, of all splits."""
    return [
        Text(row["task_id"], f"{row['text']}\n{row['code']}", row["code"], "python")
        for row in read_rows(where, "mbpp", TEXTS)
    ]


def _problem(row: dict[str, Any]) -> Problem | None:
    tests = row.get("test_list")
    if not (isinstance(tests, list) and tests and all(isinstance(test, str) for test in tests)):
        raise InputError(f"mbpp {row['task_id']}: test_list must be a list of asserts, got {tests}")
    code = "\n".join(line.rstrip() for line in row["code"].splitlines())
    try:
        solution = ast.parse(code).body
        called = _called("\n".join(tests))
    except SyntaxError as error:
        raise InputError(
            f"mbpp {row['task_id']}: code or test_list is no Python: {error}"
        ) from None
    functions = [node.name for node in solution if isinstance(node, ast.FunctionDef)]
    entry_point = next((name for name in called if name in functions), None)
    if entry_point is None:
        raise InputError(f"mbpp {row['task_id']}: no test calls a function of the code")
    classes = {node.name for node in solution if isinstance(node, ast.ClassDef)}
    if row.get("test_setup_code") or classes & set(called):
        return None
    request = f"{row['text']} Your code should pass these tests:\n" + "\n".join(tests)
    return Problem(
        id=row["task_id"],
        task="mbpp",
        language="python",
        messages=formats.code_prompt(request, "python"),
        request=request,
        entry_point=entry_point,
        tests=_check(tests, entry_point),
        family=row["task_id"],
        reference=code,
    )


def _called(source: str) -> list[str]:
    """Return the names of called functions, in the order in which they stand."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    calls.sort(key=lambda node: (node.lineno, node.col_offset))
    return [node.func.id for node in calls if isinstance(node.func, ast.Name)]


def _check(tests: list[str], entry_point: str) -> str:
    """Return the asserts as one check; its parameter hides the name that they call."""
    lines = [f"    {line}" for test in tests for line in test.strip().splitlines()]
    return "\n".join([f"def check({entry_point}):", *lines])
