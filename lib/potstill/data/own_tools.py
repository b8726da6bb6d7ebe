"""Rows that use the project's own tools: running Python, and asking what the executor accepts.

The tools really run: a row holds what they returned. Rows that need none show them too, and answer.
"""

import json
from collections.abc import Sequence
from typing import Any

from potstill import files, sandbox, subset
from potstill.data import tool_formats
from potstill.models import formats

Row = dict[str, Any]
_OUTSIDE = "import subprocess\n"  # what no policy accepts
_CODE = {"type": "string", "description": "The program."}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "run_python",
            "description": "Run a Python program and return what it prints.",
            "parameters": {
                "type": "object",
                "properties": {"code": _CODE},
                "required": ["code"],
                "additionalProperties": False,
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "check_subset",
            "description": "Say whether the executor accepts a Python program, and why not.",
            "parameters": {
                "type": "object",
                "properties": {"code": _CODE},
                "required": ["code"],
                "additionalProperties": False,
            },
        },
    },
]


def rows(
    tasks: Sequence[Row], *, policy: str, cpu_s: float, workers: int, mode: sandbox.Mode
) -> list[Row]:
    """Return rows of Python tasks that have tests and a reference: two calls and two direct each.

    Args:
        tasks: with family, task, plan, entry_point, tests and reference.
        policy: of the subset that check_subset asks about.
        cpu_s: processor seconds of one run.
        workers: programs at a time.
        mode: which layers of the sandbox must be in force.

    Raises:
        InputError: the sandbox lacks a layer.
    """
    whole = [t for t in tasks if t["language"] == "python" and t["tests"] and t["reference"]]
    called = [_call(task) for task in whole]
    limits = sandbox.Limits(cpu_s)
    programs = [
        sandbox.Case("python", f"{task['reference']}\nprint({text})\n", limits=limits)
        for task, text in zip(whole, called, strict=True)
    ]
    runs = sandbox.run_many(programs, workers, mode=mode)
    found = []
    for task, text, program, run in zip(whole, called, programs, runs, strict=True):
        if run.ok and run.stdout.strip():
            found.append(_ran(task, text, program.code, run.stdout.strip()))
        found.append(_checked(task, policy))
        found.append(_direct(task, formats.code_prompt(task["task"], "python"), task["reference"]))
        if task["plan"]:
            steps = formats.numbered(task["plan"])
            found.append(_direct(task, formats.plan_prompt(task["task"]), steps))
    return list({row["id"]: row for row in found}.values())


def _call(task: Row) -> str:
    args = ", ".join(map(repr, task["tests"][0]["args"]))
    return f"{task['entry_point']}({args})"


def _ran(task: Row, text: str, program: str, printed: str) -> Row:
    asked = f"What does {text} return?\n\n{task['reference']}"
    answer = f"{text} returns {printed}."
    return _used(task, asked, "run_python", program, printed, answer)


def _checked(task: Row, policy: str) -> Row:
    """Return a row that asks about the reference, or about the reference with what is outside."""
    is_spoilt = int(files.row_id("check", task["id"])[0], 16) % 2 == 0
    code = f"{_OUTSIDE}{task['reference']}" if is_spoilt else task["reference"]
    verdict = subset.check("python", code, policy)
    why = "" if verdict.supported else verdict.reasons[0].message
    said = json.dumps({"supported": verdict.supported, **({"reason": why} if why else {})})
    answer = "Yes, the executor accepts it." if verdict.supported else f"No: {why}"
    asked = f"Does the executor accept this program?\n\n{code}"
    return _used(task, asked, "check_subset", code, said, answer)


def _used(task: Row, asked: str, name: str, code: str, result: str, answer: str) -> Row:
    weights = {"turn": 1.0}
    call = tool_formats.call(name, {"code": code})
    return _row(
        task,
        [
            {"role": "user", "content": asked},
            {"role": "assistant", "content": "", "weights": weights, "tool_calls": [call]},
            {"role": "tool", "name": name, "content": result},
            {"role": "assistant", "content": answer, "weights": weights},
        ],
    )


def _direct(task: Row, prompt: list[Row], answer: str) -> Row:
    return _row(task, formats.answered(prompt, answer))


def _row(task: Row, messages: list[Row]) -> Row:
    return {
        "id": files.row_id("tool", task["id"], json.dumps(messages)),
        "format": "tool",
        "language": "python",
        "group": task["family"],
        "origin": "reference",
        "licence": task["licence"],
        "tools": TOOLS,
        "messages": messages,
    }
