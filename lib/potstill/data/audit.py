"""What a built data set must be: shuffled, in its shares, well-formed, with real tool results.

Each check raises for the first row, or the first number, that breaks it. Chance breaks none: the
limits are wide for sets so small that a fair shuffle could fail them.

Source: the checks of Punie's audit_training_data.py, which warned of most of them.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from typing import Any

from potstill.data import tool_formats, tools
from potstill.data.dataset import Recipe
from potstill.data.tool_formats import ToolFormat
from potstill.errors import InputError
from potstill.models import formats

Row = dict[str, Any]
MIN_ROWS = 20  # of a kind, from which on its order and share are judged
IN_HALF = (0.1, 0.9)  # of a kind in the first half: a fair shuffle of 20 fails once in 25,000
ROLES = {"system", "user", "assistant", "tool"}
_TAG = re.compile(rf"<(/?)({'|'.join(formats.TAGS)})>")


def audit(rows: Sequence[Row], recipe: Recipe, results: Set[str], *, whole: bool) -> None:
    """Check the rows of a split.

    Args:
        rows: in their order.
        recipe: what was wanted.
        results: keys of the results that tools returned; see `tools.key`.
        whole: whether their order and shares are checked too: those of training rows.

    Raises:
        InputError: a check fails; it names the row or the number.
    """
    for row in rows:
        _formed(row)
        _closed(row)
        _one_format(row, recipe.tool_format)
        native = tool_formats.to_native(row, recipe.tool_format)
        tools.check(native)
        _real(native, results)
    if whole:
        _shuffled(rows)
        _balanced(rows, recipe.shares, recipe.share_tolerance)
        _called(rows, recipe.call_share, recipe.share_tolerance)


def _formed(row: Row) -> None:
    messages = row["messages"]
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        _fail(row, "it has fewer than two messages, or does not end with the assistant's")
    for message in messages:
        if message["role"] not in ROLES:
            _fail(row, f"the role {message['role']!r} is none of {', '.join(sorted(ROLES))}")
        if not (str(message.get("content") or "").strip() or message.get("tool_calls")):
            _fail(row, f"a message of the role {message['role']} is empty")


def _closed(row: Row) -> None:
    """Check that what opens in a message closes in it, in order; what shows a form does too."""
    for message in row["messages"]:
        text = str(message.get("content") or "")
        open_: list[str] = []
        for closes, tag in _TAG.findall(text):
            if not closes:
                open_.append(tag)
            elif not open_ or open_.pop() != tag:
                _fail(row, f"</{tag}> closes what is not open")
        if open_:
            _fail(row, f"<{open_[-1]}> is not closed")
        if message["role"] == "assistant" and len(re.findall(r"^```", text, re.M)) % 2:
            _fail(row, "a block of ``` is not closed")


def _one_format(row: Row, wanted: ToolFormat) -> None:
    other = tool_formats.found(row) - {wanted}
    if other:
        _fail(row, f"calls are written as {', '.join(sorted(other))}; the data set has {wanted}")


def _real(row: Row, results: Set[str]) -> None:
    """Check that every result is what the tool returned, and that no call before the last lacks it.

    Rows that end with a call need no result.
    """
    open_: list[Row] = []
    for message in row["messages"]:
        if message["role"] == "tool":
            if not open_:
                _fail(row, "a result stands where nothing is called")
            if tools.key(open_.pop(0)["function"], message["content"]) not in results:
                _fail(row, f"no tool returned {message['content'][:60]!r} to this call")
        elif open_:
            _fail(row, f"the call of {open_[0]['function']['name']} has no result")
        else:
            open_ = list(message.get("tool_calls") or ())


def _shuffled(rows: Sequence[Row]) -> None:
    half, total = Counter(_kinds(rows[: len(rows) // 2])), Counter(_kinds(rows))
    for kind, count in sorted(total.items()):
        if count >= MIN_ROWS and not IN_HALF[0] <= half[kind] / count <= IN_HALF[1]:
            raise InputError(
                f"the data set is not shuffled: {half[kind]} of {count} rows of {kind} are in its "
                "first half"
            )


def _kinds(rows: Sequence[Row]) -> list[str]:
    """Return format, language and origin of all rows."""
    return [f"{key} {row[key]}" for row in rows for key in ("format", "language", "origin")]


def _balanced(
    rows: Sequence[Row], shares: Mapping[formats.Format, float], tolerance: float
) -> None:
    counts, total = Counter(row["format"] for row in rows), sum(shares.values())
    misses = {name: counts[name] / len(rows) - share / total for name, share in shares.items()}
    name = max(sorted(misses), key=lambda name: abs(misses[name]))  # the one that is most off
    if len(rows) >= MIN_ROWS and abs(misses[name]) > tolerance:
        raise InputError(
            f"build_dataset: {name} rows are {counts[name] / len(rows):.0%} of the training rows, "
            f"{shares[name] / total:.0%} are wanted: there are too few of some format; change "
            "shares, or ask for fewer rows"
        )


def _called(rows: Sequence[Row], wanted: float, tolerance: float) -> None:
    asked = [row for row in rows if row["format"] == "tool"]
    has = sum(bool(tool_formats.found(row)) for row in asked) / max(1, len(asked))
    if len(asked) >= MIN_ROWS and abs(has - wanted) > tolerance:
        raise InputError(
            f"build_dataset: {has:.0%} of the tool rows call a tool, {wanted:.0%} are wanted: "
            "change call_share, or give collect_tools more rows of the other kind"
        )


def _fail(row: Row, why: str) -> None:
    said = json.dumps(row["messages"][-1].get("content"), ensure_ascii=False)
    raise InputError(f"row {row['id']} ({row['format']}): {why}; it ends with {said[:80]}")
