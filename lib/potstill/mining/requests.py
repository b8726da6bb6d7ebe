"""What is asked for a mined function: its signature, and words that say what it does."""

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]


def signature(row: Row) -> str:
    """Return a function's name and arguments as its module has them."""
    return f"{row['name']}({row['arguments']})"


def request(row: Row, words: str) -> str:
    """Return the request for a function in these words; its signature comes first."""
    text, lead = " ".join(words.split()), f"Write a function {signature(row)}"
    return text if text.startswith(lead) else f"{lead}. {text}"


def of_docstring(row: Row) -> str:
    """Return the request that the first paragraph of a function's docstring makes."""
    return request(row, row["docstring"].split("\n\n")[0])
