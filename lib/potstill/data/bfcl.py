"""Rows of the Berkeley Function Calling Leaderboard: requests with tools, and the right calls.

Read are the one-turn parts of its Python package (`bfcl-eval`, Apache-2.0) that have a right
answer, and `irrelevance`, where no tool fits: that one's answer is a sentence of ours.

Whoever trains on these rows has seen the benchmark: no BFCL score of that model says anything.

Source: github.com/ShishirPatil/gorilla, berkeley-function-call-leaderboard, and its paper, Patil et
al. 2025.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from potstill import files
from potstill.data import tool_formats, tools
from potstill.errors import InputError, MissingPackageError
from potstill.mining.places import Place

Row = dict[str, Any]
LICENCE = "Apache-2.0"
PARTS = ("simple_python", "multiple", "parallel", "parallel_multiple", "live_simple", "irrelevance")
NONE_FITS = "None of my tools can do this."
_TYPES = {"dict": "object", "float": "number", "tuple": "array"}  # of Python, in JSON schema
_KNOWN = {"object", "number", "array", "string", "integer", "boolean", "null"}


def rows(place: Place) -> tuple[list[Row], Counter[str]]:
    """Return native tool rows and why others were left out: `no_answer` or `schema`.

    Raises:
        InputError: none of the parts is there.
    """
    asked, right = _parts(place)
    if not asked:
        raise InputError(
            f"{place.path} has no file BFCL_v4_{PARTS[0]}.json: give bfcl-eval's wheel"
        )
    found, dropped = [], Counter[str]()
    for part, source in asked.items():
        for row in source:
            if part != "irrelevance" and row["id"] not in right:
                dropped["no_answer"] += 1
                continue
            made = _row(row, right.get(row["id"]))
            try:
                tools.check(made)
            except MissingPackageError:
                raise
            except InputError:
                dropped["schema"] += 1
                continue
            found.append(made)
    return found, dropped


def _parts(place: Place) -> tuple[dict[str, list[Row]], dict[str, list[Row]]]:
    """Return the questions of each part, and the right calls by the question's id."""
    asked: dict[str, list[Row]] = {}
    right: dict[str, list[Row]] = {}
    for name, text in place.sources((".json",)):
        path = PurePosixPath(name)
        part = path.stem.removeprefix("BFCL_v4_")
        if part not in PARTS or "unused_datasets" in path.parts:
            continue
        lines = [json.loads(line) for line in text.decode().splitlines() if line.strip()]
        if path.parent.name == "possible_answer":
            right |= {line["id"]: line["ground_truth"] for line in lines}
        else:
            asked[part] = lines
    return asked, right


def _row(row: Row, right: list[Row] | None) -> Row:
    shown = [
        {"type": "function", "function": {**each, "parameters": schema(each["parameters"])}}
        for each in row["function"]
    ]
    calls = [
        tool_formats.call(name, dict(_chosen(arguments)))
        for each in right or ()
        for name, arguments in each.items()
    ]
    said = {"content": "", "tool_calls": calls} if calls else {"content": NONE_FITS}
    return {
        "id": files.row_id("bfcl", row["id"]),
        "format": "tool",
        "language": "",
        "group": f"bfcl {row['function'][0]['name']}",
        "origin": "bfcl",
        "licence": LICENCE,
        "tools": shown,
        "messages": [*row["question"][0], {"role": "assistant", **said}],
    }


def schema(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a parameter's description as JSON schema: Python's names of types are replaced."""
    found = dict(parameters)
    if "type" in found:
        kind = _TYPES.get(found["type"], found["type"])
        found = {**found, "type": kind} if kind in _KNOWN else _without(found, "type")
    if isinstance(found.get("properties"), dict):
        found["properties"] = {key: schema(value) for key, value in found["properties"].items()}
    if isinstance(found.get("items"), dict):
        found["items"] = schema(found["items"])
    return found


def _without(found: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != key}


def _chosen(arguments: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each argument with the first of its allowed values; one that may be left out is."""
    for name, allowed in arguments.items():
        if allowed and "" not in allowed:
            yield name, _value(allowed[0])


def _value(allowed: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a value whose objects hold lists of allowed values, as one value."""
    if isinstance(allowed, dict):
        return {
            key: _value(some[0]) if isinstance(some, list) and some else some
            for key, some in allowed.items()
            if some != [""]
        }
    if isinstance(allowed, list):
        return [_value(each) for each in allowed]
    return allowed
