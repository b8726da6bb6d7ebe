"""Task rows: what a model is asked and how its answer is checked."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from potstill import files
from potstill.data import tables
from potstill.errors import InputError
from potstill.models.formats import LANGUAGE_NAMES
from potstill.params import closest

Row = dict[str, Any]


class Test(BaseModel):
    """One call and what it must return: JSON values."""

    model_config = ConfigDict(extra="forbid", strict=True)

    args: list[Any]
    expected: Any


class Task(BaseModel):
    """A task as users write it; only `task` and `language` are needed."""

    model_config = ConfigDict(extra="forbid", strict=True)

    task: Annotated[str, Field(min_length=1)]
    language: str
    entry_point: str | None = None  # the function that the tests call
    tests: list[Test] = Field(default_factory=list)
    reference: str | None = None
    plan: list[str] = Field(default_factory=list)
    family: str | None = None  # decides the split; null: rows that ask the same are one
    level: Annotated[int, Field(ge=0, le=4)] = 0
    licence: str = "unknown"

    @field_validator("tests", "plan", mode="before")
    @classmethod
    def _of_text(cls, value: object) -> object:
        """Take a list that stands as JSON in a text, as tables need it of mixed types."""
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError:
            return value

    @field_validator("language")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in LANGUAGE_NAMES:
            raise ValueError(f"language {value!r}; allowed: {', '.join(LANGUAGE_NAMES)}")
        return value


def read_extra(folder: Path) -> list[Row]:
    """Read the user's own tasks: every *.jsonl and *.parquet file of a folder.

    Raises:
        InputError: an empty or damaged file, or a row that is no `Task`; names file and row.
    """
    rows: list[Row] = []
    for path in sorted([*folder.glob("*.jsonl"), *folder.glob("*.parquet")]):
        if path.suffix == ".parquet":
            found = list(tables.read_parquet(path))
        else:
            found = list(files.read_jsonl(path, ("task", "language")))
        if not found:
            raise InputError(f"{path} is empty: give it one task a row, or delete it")
        rows += [_complete(row, path.stem, f"{path} row {n}") for n, row in enumerate(found, 1)]
    return rows


def read_hub(sources: Iterable[tables.DataSet]) -> tuple[list[Row], int]:
    """Read tasks of data sets of the hub; return them, and how many rows are no task.

    Raises:
        InputError: a data set cannot be had, lacks a column, or none of its rows is a task.
    """
    rows: list[Row] = []
    num_wrong = 0
    for source in sources:
        taken, why = 0, ""
        for number, row in enumerate(tables.read_hub(source), 1):
            try:
                rows.append(_complete(row, source.name, f"{source.name} row {number}"))
                taken += 1
            except InputError as error:
                num_wrong += 1
                why = why or str(error)
        if not taken:
            raise InputError(
                f"collect_prompts.sources: {source.name} gives no task: {why or 'it has no rows'}"
            )
    return rows, num_wrong


def _complete(row: Mapping[str, Any], source: str, place: str) -> Row:
    stated = {key: value for key, value in row.items() if value is not None}
    try:
        task = Task.model_validate(stated)
    except ValidationError as error:
        raise InputError(f"{place}: {_reason(error)}") from None
    if task.tests and not task.entry_point:
        raise InputError(f"{place} has tests but no entry_point: name the function to call")
    return {
        "id": files.row_id(source, task.task, task.language),
        "source": source,
        **task.model_dump(exclude={"family"}),
        "family": task.family or files.row_id(task.task),
    }


def _reason(error: ValidationError) -> str:
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    name = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return f"unknown field {name}; {closest(name, Task.model_fields)}"
    if first["type"] == "missing":
        return f"{name} is missing"
    return f"{name}: {first['msg'].removeprefix('Value error, ')}"
