"""The project's own tasks, and those of the folder prompts/ that have tests.

`collect_prompts` wrote them, divided into splits by family: a split holds nothing of another's.
"""

from dataclasses import replace
from typing import Any

from potstill import files
from potstill.models import formats
from potstill.tasks.problem import Problem, Text
from potstill.tasks.where import UnavailableError, Where

LICENCE = "Apache-2.0"
METHOD = "code"
SPLITS = ("validation", "test")
MADE_OF: tuple[str, ...] = ()
KEYS = ("id", "language", "task", "entry_point", "tests", "family", "level", "plan", "reference")


def read(where: Where) -> list[dict[str, Any]]:
    """Return the rows of the split; the tasks that are made of them read them here.

    Raises:
        UnavailableError: they were not made.
        InputError: a row lacks a key.
    """
    if where.prompts is None:
        raise UnavailableError("the folder of prompts that the pipeline makes is not given")
    path = where.prompts / f"{where.split}.jsonl"
    if not path.is_file():
        raise UnavailableError(f"{path} is missing: run collect_prompts")
    return list(files.read_jsonl(path, KEYS))


def problems(where: Where) -> list[Problem]:
    """Return the rows of the split that have tests."""
    return [
        Problem(
            id=row["id"],
            task="katas",
            language=row["language"],
            messages=formats.code_prompt(row["task"], row["language"]),
            request=row["task"],
            entry_point=row["entry_point"],
            tests=row["tests"],
            family=row["family"],
            level=row["level"],
            reference=row["reference"] or "",
        )
        for row in read(where)
        if row["tests"]
    ]


def texts(where: Where) -> list[Text]:
    """Return the rows of both splits; their families are kept out of the training split too."""
    rows = [row for split in SPLITS for row in read(replace(where, split=split))]
    return [
        Text(
            row["id"],
            f"{row['task']}\n{row['reference'] or ''}",
            row["reference"] or "",
            row["language"],
        )
        for row in rows
    ]
