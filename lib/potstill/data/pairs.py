"""Two answers to one prompt, of which one passed its tests and one failed them."""

from collections.abc import Iterable
from typing import Literal

from potstill.data.rows import Row, chat, fence
from potstill.models import formats

Side = Literal["chosen", "rejected"]
FAILED = ("tests_failed", "timeout")  # why curation rejects what it executed


def pair_rows(accepted: Iterable[Row], rejected: Iterable[Row], *, fenced: bool) -> list[Row]:
    """Return rows of two answers to one prompt: `chosen` passed its tests, `rejected` failed them.

    One of format "chosen" stands before those of format "rejected" to the same prompt, of which
    there may be several. It is the teacher's answer where one passed, else the reference: the
    nearer it is to what a student says, the less is learnt of style.

    Args:
        accepted: rows whose code passed, where they have tests; mined functions have no others.
        rejected: rows with the reason, of which those count that were executed and failed;
            of mined functions none.
        fenced: code stands in a Markdown block.
    """
    passed: dict[tuple[str, str], Row] = {}
    for row in sorted(accepted, key=lambda row: (row["origin"] != "teacher", row["id"])):
        if row.get("tests") and row["origin"] != "mined":
            passed.setdefault((row["language"], row["task"]), row)
    found: dict[str, Row] = {}
    failed = [row for row in rejected if row["reason"] in FAILED and row["origin"] != "mined"]
    for row in sorted(failed, key=lambda row: row["id"]):
        best = passed.get((row["language"], row["task"]))
        if best is None:
            continue
        prompt = formats.code_prompt(row["task"], row["language"])
        sides: list[tuple[Side, Row]] = [("chosen", best), ("rejected", row)]
        for name, one in sides:
            made = chat(one, name, prompt, one["code"])
            found.setdefault(made["id"], made)
    pairs = list(found.values())
    return fence(pairs) if fenced else pairs
