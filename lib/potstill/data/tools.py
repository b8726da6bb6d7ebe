"""Tools that a row shows: their schemas, whether calls fit them, and what they returned."""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from potstill import files
from potstill.data.rows import Part
from potstill.errors import InputError, missing

Row = dict[str, Any]
PARTS = ("name", "arguments")  # of a call that have weights of their own


def key(function: Mapping[str, Any], result: str) -> str:
    """Return the name of a result in the record of what tools returned: a hash of call and text."""
    arguments = json.dumps(function["arguments"], sort_keys=True)
    return files.row_id(function["name"], arguments, result)


def calls(row: Mapping[str, Any]) -> bool:
    """Say whether a native row calls a tool."""
    return any(message.get("tool_calls") for message in row["messages"])


def weigh(row: Row, weights: Mapping[Part, float]) -> Row:
    """Return a native row whose calls have these weights on their names and arguments."""
    if not weights or not calls(row):
        return row
    messages = [
        {**m, "weights": {"turn": 1.0, **m.get("weights", {}), **weights}}
        if m.get("tool_calls")
        else m
        for m in row["messages"]
    ]
    return {**row, "messages": messages}


def results(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the keys of all results in native rows, which stand after their calls in order."""
    found: dict[str, None] = {}
    for row in rows:
        open_: list[Row] = []
        for message in row["messages"]:
            if message["role"] == "tool":
                found[key(open_.pop(0)["function"], message["content"])] = None
            else:
                open_ = list(message.get("tool_calls") or ())
    return list(found)


def check(row: Mapping[str, Any]) -> None:
    """Check the calls of a native row against the JSON schemas of its tools.

    Raises:
        InputError: a call of an unknown tool, or arguments that its schema refuses.
        MissingPackageError: there are calls, and jsonschema is not installed.
    """
    known = {each["name"]: each for each in (t.get("function", t) for t in row.get("tools") or ())}
    for message in row["messages"]:
        for call in message.get("tool_calls") or ():
            function = call["function"]
            if function["name"] not in known:
                raise InputError(
                    f"row {row.get('id')}: {function['name']} is called, and the tools are "
                    f"{', '.join(known) or 'none'}"
                )
            schema = json.dumps(known[function["name"]].get("parameters", {}), sort_keys=True)
            problem = _problem(_validator(schema), function["arguments"])
            if problem:
                raise InputError(f"row {row.get('id')}: a call of {function['name']}: {problem}")


def _problem(validator: Any, arguments: object) -> str:  # noqa: ANN401 - of jsonschema
    error = next(iter(sorted(validator.iter_errors(arguments), key=str)), None)
    return "" if error is None else f"{error.json_path}: {error.message}"[:200]


@lru_cache(maxsize=4096)
def _validator(schema: str) -> Any:  # noqa: ANN401 - of jsonschema
    try:
        from jsonschema import Draft202012Validator, SchemaError
    except ModuleNotFoundError:
        raise missing("checking tool calls", "jsonschema") from None
    parsed = json.loads(schema)
    try:
        Draft202012Validator.check_schema(parsed)
    except SchemaError as error:
        raise InputError(f"no JSON schema: {error.message[:200]}") from None
    return Draft202012Validator(parsed)
