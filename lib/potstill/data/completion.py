"""Rows that ask as HumanEval does; the answer is the whole function, as in code rows."""

from collections.abc import Iterable

from potstill import files
from potstill.data.rows import Row, chat
from potstill.models import formats, stubs


def completion_rows(rows: Iterable[Row]) -> list[Row]:
    """Return a row for each one with tests whose answer declares the function that they call.

    A half asks with the bare text, a half as code rows do.
    """
    found = {}
    for row in rows:
        text = stubs.stub(row, stubs.style(row))
        if text is not None:
            is_bare = int(files.row_id("bare", row["id"]), 16) % 2
            prompt = formats.completion_prompt(text, None if is_bare else row["language"])
            made = chat(row, "complete", prompt, row["code"])
            found[made["id"]] = made
    return list(found.values())
