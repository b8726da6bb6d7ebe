"""A chat row of a data set."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from potstill import files
from potstill.models import formats
from potstill.models.chat import Message

Row = dict[str, Any]
Part = formats.Format | Literal["name", "arguments"]  # what has a weight of its own on the loss
_OF_CODE = ("code", "complete", "reflect", "episode", "chosen", "rejected")  # what answers say


def chat(row: Row, name: str, prompt: Sequence[Message], answer: str) -> Row:
    """Return the chat row of a format that is made of a curated row or a task."""
    return {
        "id": files.row_id(name, row["id"], answer),
        "format": name,
        "language": row["language"],
        "group": row["group"],
        "origin": row["origin"],
        "licence": row["licence"],
        **({"teacher": row["teacher"]} if row["origin"] == "teacher" else {}),
        "messages": formats.answered(prompt, answer),
    }


def weigh(rows: Sequence[Row], weights: Mapping[Part, float]) -> list[Row]:
    """Return rows whose answers have the weights of their formats on the loss; 1 is not written.

    Messages that have weights keep them.

    Args:
        rows: of any formats.
        weights: format -> weight; formats that are not named have 1.
    """
    found = []
    for row in rows:
        *before, last = row["messages"]
        weight = weights.get(row["format"], 1.0)
        is_plain = weight == 1 or any("weights" in message for message in row["messages"])
        weighed = {**row, "messages": [*before, {**last, "weights": {"turn": weight}}]}
        found.append(row if is_plain else weighed)
    return found


def fence(rows: Sequence[Row]) -> list[Row]:
    """Return rows whose answers of code stand in a Markdown block; an episode's plan does not."""
    found = []
    for row in rows:
        if row["format"] in _OF_CODE:
            messages = list(row["messages"])
            turns = [n for n, each in enumerate(messages) if each["role"] == "assistant"]
            for turn in turns[row["format"] == "episode" :]:
                code = formats.fenced(messages[turn]["content"], row["language"])
                messages[turn] = {**messages[turn], "content": code}
            found.append({**row, "id": files.row_id("fenced", row["id"]), "messages": messages})
        else:
            found.append(row)
    return found
