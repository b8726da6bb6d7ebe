"""The prompts of a coding agent, and how an answer is read back.

Plan, code, reflect and decompose are the formats of the EdgeCoder agent loop. The same functions
make training rows, teacher prompts and evaluation prompts, so the student is asked in use exactly
what it was taught.
"""

import json
import re
from collections.abc import Sequence
from typing import Literal

from potstill.models.chat import Message

Format = Literal[
    "code", "complete", "plan", "reflect", "decompose", "critique", "describe", "episode", "tool"
]
# Where a training row comes from. Those of `slip` and `student` end with a reference: they show it
# with a planted fault, or the failed answer of another model, such as the student.
Origin = Literal["bfcl", "mined", "reference", "slip", "student", "teacher"]
RIGHT, WRONG = "right", "wrong: "  # how the answer to a critique prompt begins
LANGUAGE_NAMES = {"python": "Python", "javascript": "JavaScript"}
# What opens and closes in a model's text; a vocabulary may have one id for each.
TAGS = ("tool_call", "tool_response", "tools", "think")
DELIMITERS = tuple(f"<{end}{tag}>" for tag in TAGS for end in ("", "/"))
_SYSTEM = "You are a coding assistant."
_FENCE = re.compile(
    r"```[ \t]*(?:python|py|javascript|js|typescript|ts)?[ \t]*\r?\n(.*?)(?:```|\Z)", re.S | re.I
)


def _messages(request: str) -> list[Message]:
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": request}]


def plan_prompt(task: str) -> list[Message]:
    """Ask for numbered steps."""
    return _messages(f"Write a short plan as numbered steps, without code.\n\nTask: {task}")


def code_prompt(task: str, language: str, plan: Sequence[str] = ()) -> list[Message]:
    """Ask for bare code, after a plan if there is one."""
    steps = f"\n\nPlan:\n{numbered(plan)}" if plan else ""
    name = LANGUAGE_NAMES[language]
    return _messages(f"Write {name} code. Answer with code only.\n\nTask: {task}{steps}")


def completion_prompt(stub: str, language: str | None) -> list[Message]:
    """Ask to complete a signature with its docstring; no language: by that text alone."""
    if language is None:
        return [{"role": "user", "content": stub}]
    return code_prompt(f"Complete this function.\n\n{stub}", language)


def reflect_prompt(task: str, code: str, error: str, language: str) -> list[Message]:
    """Ask for mended code, given what failed and how."""
    name = LANGUAGE_NAMES[language]
    return _messages(
        f"This {name} code failed. Answer with the fixed code only.\n\n"
        f"Task: {task}\n\nCode:\n{code}\n\nError:\n{error}"
    )


def decompose_prompt(request: str) -> list[Message]:
    """Ask for a JSON list of smaller tasks, each with its language."""
    return _messages(
        'Split this request into tasks. Answer with a JSON list of {"input", "language"}.\n\n'
        f"Request: {request}"
    )


def critique_prompt(task: str, code: str, language: str) -> list[Message]:
    """Ask whether code solves its task; no reference is shown."""
    return _messages(
        f"Judge this {LANGUAGE_NAMES[language]} code. Answer with right, or with wrong: and what "
        f"goes wrong.\n\nTask: {task}\n\nCode:\n{code}"
    )


def describe_prompt(code: str, language: str) -> list[Message]:
    """Ask for the task that code solves: the way back of a code prompt."""
    return _messages(f"Write the task that this {LANGUAGE_NAMES[language]} code solves.\n\n{code}")


def numbered(steps: Sequence[str]) -> str:
    """Return "1. ...", one step a line."""
    return "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))


def subtasks(inputs: Sequence[str], language: str) -> str:
    """Return the answer to a decompose prompt."""
    return json.dumps([{"input": each, "language": language} for each in inputs])


def answered(prompt: Sequence[Message], answer: str) -> list[Message]:
    """Return the messages of a training row."""
    return [*prompt, {"role": "assistant", "content": answer}]


def fenced(code: str, language: str) -> str:
    """Return code as a Markdown block, of which `extract_code` gives it back."""
    return f"```{language}\n{code}\n```"


def extract_code(answer: str) -> str:
    """Return the first fenced block of an answer, else the whole text, without outer blank space.

    An answer that ends inside a fence (cut by the token limit) keeps what it has.
    """
    match = _FENCE.search(answer)
    return (match.group(1) if match else answer).strip("\n").rstrip()


def has_closed_block(answer: str) -> bool:
    """Say whether the first fenced block is whole: what follows does not change `extract_code`."""
    match = _FENCE.search(answer)
    return match is not None and answer.startswith("```", match.end(1))
