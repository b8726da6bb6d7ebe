"""What is counted of a data set, as tables."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from potstill.report import text
from potstill.splits import Split

Row = Mapping[str, Any]
DUPLICATES = ("duplicate", "near_duplicate", "near_heldout")


@dataclass(frozen=True)
class Table:
    """A table: its first column names the rows, all others are numbers."""

    title: str
    note: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables(
    splits: Mapping[Split, Sequence[Row]], rejected: Sequence[Row], told: Mapping[str, int]
) -> list[Table]:
    """Return all tables of counts.

    Args:
        splits: the rows of each split.
        rejected: what `curate` put aside.
        told: accepted candidates by the natural language of their request.
    """
    keys = {
        "Formats": ("format", "What is asked for."),
        "Languages": ("language", "Programming language of the answer."),
        "Sources": ("origin", "Where the answer comes from."),
        "Licences": ("licence", "As the source states it."),
    }
    counted = [_by(splits, title, key, note) for title, (key, note) in keys.items()]
    families = {name: [{"group": g} for g in _groups(rows)] for name, rows in splits.items()}
    each = ["families and modules", *(_number(len(rows)) for rows in families.values())]
    total = ["rows", *(_number(len(rows)) for rows in splits.values())]
    note = "No family or module is in two splits."
    return [
        Table("Size", note, ["", *splits], [total, each]),
        *counted,
        _told(told),
        _rejections(rejected),
    ]


def lengths(rows: Iterable[Row]) -> list[int]:
    """Return the characters of each row's messages, without the system's."""
    return [
        sum(len(m["content"]) for m in row["messages"] if m["role"] != "system") for row in rows
    ]


def samples(rows: Sequence[Row]) -> list[Row]:
    """Return the first row by id of each format and origin."""
    first: dict[tuple[str, str], Row] = {}
    for row in sorted(rows, key=lambda row: str(row["id"])):
        first.setdefault((row["format"], row["origin"]), row)
    return [first[key] for key in sorted(first)]


def _groups(rows: Iterable[Row]) -> set[str]:
    return {row["group"] for row in rows}


def _by(splits: Mapping[Split, Sequence[Row]], title: str, key: str, note: str) -> Table:
    counts = {name: Counter(str(row[key]) for row in rows) for name, rows in splits.items()}
    total: Counter[str] = sum(counts.values(), Counter())
    rows = [
        [value, *(_number(each[value]) for each in counts.values())]
        for value, _ in sorted(total.items(), key=lambda item: (-item[1], item[0]))
    ]
    return Table(title, note, [key, *splits], rows)


def _told(counts: Mapping[str, int]) -> Table:
    total = sum(counts.values())
    rows = [
        [name, _number(count), text.percent(count / total)]
        for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    note = "Natural language of the requests of accepted candidates, where one is clear."
    return Table("Request languages", note, ["language", "rows", "share"], rows)


def _rejections(rejected: Sequence[Row]) -> Table:
    counts = Counter(str(row["reason"]) for row in rejected)
    repeated = _number(sum(counts[reason] for reason in DUPLICATES))
    rows = [
        [reason.replace("_", " "), _number(count)]
        for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]
    note = f"Candidates that are in no split, by the first reason that held; {repeated} repeat."
    return Table("Rejections", note, ["reason", "rows"], rows)


def _number(value: int) -> str:
    return f"{value:,}"
