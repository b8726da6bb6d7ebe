"""Other words to ask with, so that a figure of somebody else's prompt can be reproduced.

A prompt is a list of chat messages in YAML or JSON, of which one or more hold {prompt}:

    - {role: system, content: Output ONLY executable python code.}
    - {role: user, content: "{prompt}"}

What stands for {prompt} is `Problem.request`: the problem as its publication shows it.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from potstill.errors import InputError
from potstill.models.chat import Message
from potstill.params import closest
from potstill.tasks.problem import Problem

PLACE = "{prompt}"
ROLES = ("system", "user", "assistant")
_EXECUTABLE = "Output ONLY executable python code."
NAMED: dict[str, list[Message]] = {
    "bare": [{"role": "user", "content": PLACE}],
    "executable-system": [
        {"role": "system", "content": _EXECUTABLE},
        {"role": "user", "content": PLACE},
    ],
    "executable-user": [{"role": "user", "content": f"{_EXECUTABLE}\n\n{PLACE}"}],
    "executable-complete": [
        {
            "role": "user",
            "content": f"Complete the following Python function. {_EXECUTABLE}\n\n{PLACE}",
        }
    ],
}


def read(name: str) -> list[Message]:
    """Return the messages of a file, or of a name in NAMED.

    Raises:
        InputError: there is no such name or file, or it is no list of messages with {prompt}.
    """
    if name in NAMED:
        return NAMED[name]
    path = Path(name)
    if not path.is_file():
        raise InputError(f"{name} is no file and no prompt's name; {closest(name, NAMED)}")
    try:
        messages = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no YAML or JSON: {' '.join(str(error).split())}") from None
    if not isinstance(messages, list) or not messages or not all(map(_is_message, messages)):
        raise InputError(
            f"{path} must be a list of messages, each with a role ({', '.join(ROLES)}) and content"
        )
    if not any(PLACE in message["content"] for message in messages):
        raise InputError(f"{path} has no {PLACE}: write it where the problem stands")
    if messages[-1]["role"] != "user":
        raise InputError(f"{path} ends with the role {messages[-1]['role']}: the user asks last")
    return messages


def put(problems: Sequence[Problem], messages: Sequence[Message]) -> list[Problem]:
    """Return problems that are asked in these messages; nothing else of them changes."""
    return [
        replace(
            problem,
            messages=[
                {**message, "content": message["content"].replace(PLACE, problem.request)}
                for message in messages
            ],
        )
        for problem in problems
    ]


def _is_message(found: object) -> bool:
    return (
        isinstance(found, dict)
        and found.keys() == {"role", "content"}
        and found["role"] in ROLES
        and isinstance(found["content"], str)
    )
