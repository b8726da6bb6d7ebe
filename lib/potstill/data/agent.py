"""Rows for an agent's other turns: judging its own code, saying what code does, whole episodes."""

from collections.abc import Iterable, Mapping
from typing import Any

from potstill import files
from potstill.data.rows import Part, chat
from potstill.models import formats
from potstill.models.chat import Message

Row = dict[str, Any]


def critique_rows(accepted: Iterable[Row], broken: Iterable[Row]) -> list[Row]:
    """Return as many rows of right code as of wrong, as far as the fewer of the two reach.

    Wrong code is judged with the executor's words. Right code is a teacher's that passed. The
    reference is in no row, so an answer that spells it is left out.
    """
    right, wrong = {}, {}
    for row in accepted:
        if row["origin"] == "teacher" and not _shows(row["code"], row.get("reference")):
            prompt = formats.critique_prompt(row["task"], row["code"], row["language"])
            made = chat(row, "critique", prompt, formats.RIGHT)
            right[made["id"]] = made
    for row in broken:
        if not _shows(row["code"], row["fix"]):
            prompt = formats.critique_prompt(row["task"], row["code"], row["language"])
            made = chat(row, "critique", prompt, f"{formats.WRONG}{row['error']}")
            wrong[made["id"]] = made
    count = min(len(right), len(wrong))
    return [row for some in (right, wrong) for _, row in sorted(some.items())[:count]]


def _shows(code: str, reference: str | None) -> bool:
    """Say whether a reference is part of a code, whatever blank space is in either."""
    return bool(reference) and "".join(str(reference).split()) in "".join(code.split())


def describe_rows(rows: Iterable[Row]) -> list[Row]:
    """Return the way back of code rows: the code asks, the task answers.

    Both ways are of one group, so they are in one split.
    """
    found = (
        chat(row, "describe", formats.describe_prompt(row["code"], row["language"]), row["task"])
        for row in rows
    )
    return list({row["id"]: row for row in found}.values())


def episode_rows(
    accepted: Iterable[Row], broken: Iterable[Row], weights: Mapping[Part, float]
) -> list[Row]:
    """Return whole episodes: a plan, code, and, where it failed, its error and the mended code.

    Every turn has the weight of its part. Code that failed is read and never learnt.

    Args:
        accepted: rows with plan and code that passed.
        broken: rows with plan, code, error and fix.
        weights: of plan, code and reflect turns; those that are not named have 1.
    """
    found = []
    for row in accepted:
        if row["plan"]:
            code = _turn(row["code"], weights.get("code", 1.0))
            found.append(_episode(row, weights, [code]))
    for row in broken:
        if row.get("plan"):
            asked = formats.reflect_prompt(row["task"], row["code"], row["error"], row["language"])
            fix = _turn(row["fix"], weights.get("reflect", 1.0))
            failed: Message = {"role": "assistant", "content": row["code"]}
            found.append(_episode(row, weights, [failed, asked[-1], fix]))
    return found


def _episode(row: Row, weights: Mapping[Part, float], end: list[Message]) -> Row:
    system, asked = formats.plan_prompt(row["task"])
    plan = formats.numbered(row["plan"])
    code_asked = formats.code_prompt(row["task"], row["language"], row["plan"])[-1]
    made = chat(row, "episode", [system, asked], plan)
    turns = [system, asked, _turn(plan, weights.get("plan", 1.0)), code_asked, *end]
    return {**made, "id": files.row_id("episode", row["id"]), "messages": turns}


def _turn(text: str, weight: float) -> Message:
    return {"role": "assistant", "content": text, "weights": {"turn": weight}}
