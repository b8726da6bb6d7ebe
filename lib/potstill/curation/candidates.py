"""What may become a training row: teacher answers, references, planted errors, mined functions.

Every candidate has id, origin, licence, language, group, task, plan and code; those that can be
executed also have entry_point, tests and reference.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from potstill import files
from potstill.curation.mutants import mutants
from potstill.models import formats

Row = dict[str, Any]


def read(prompts: Path, samples: Path, functions: Path, slips: int) -> list[Row]:
    """Return all candidates in order of precedence.

    Args:
        prompts: folder with train.jsonl, task rows.
        samples: JSONL of the teacher's answers to them.
        functions: JSONL of mined functions.
        slips: references with a planted error.
    """
    tasks = {row["id"]: row for row in files.read_jsonl(prompts / "train.jsonl", ["id", "task"])}
    return [
        *answers(tasks, files.read_jsonl(samples, ["id", "text", "finish"])),
        *references(tasks, slips),
        *mined(files.read_jsonl(functions, ["id", "name", "docstring", "code"])),
    ]


def heldout(prompts: Path) -> list[Row]:
    """Return the tasks of validation and test."""
    paths = (prompts / "validation.jsonl", prompts / "test.jsonl")
    return [row for path in paths for row in files.read_jsonl(path, ["id", "task", "family"])]


def _of_task(task: Row, origin: formats.Origin, code: str) -> Row:
    identity = files.row_id(task["id"], origin, code)
    return {**task, "id": identity, "origin": origin, "code": code, "group": task["family"]}


def answers(tasks: Mapping[str, Row], samples: Iterable[Row]) -> list[Row]:
    """Return the code of every teacher answer, with what `curate` needs to judge a cut answer."""
    return [
        {
            **_of_task(tasks[answer["id"]], "teacher", formats.extract_code(answer["text"])),
            "text": answer["text"],
            "finish": answer["finish"],
        }
        for answer in samples
    ]


def references(tasks: Mapping[str, Row], slips: int) -> list[Row]:
    """Return the references of all tasks, and `slips` of them with a planted error."""
    known = [task for task in tasks.values() if task["reference"]]
    rows = [_of_task(task, "reference", task["reference"]) for task in known]
    tested = sorted((task for task in known if task["tests"]), key=lambda task: task["id"])
    faults = (
        (task, code)
        for task in tested[:slips]
        for code in mutants(task["reference"], 1, task["id"], task["language"])
    )
    return [*rows, *(_of_task(task, "slip", code) for task, code in faults)]


def mined(functions: Iterable[Row]) -> list[Row]:
    """Return mined functions; the first paragraph of the docstring becomes the task."""
    rows = []
    for row in functions:
        text = " ".join(row["docstring"].split("\n\n")[0].split())
        task = f"Write a function {row['name']}({row['arguments']}). {text}"
        origin: formats.Origin = "mined"
        rows.append({**row, "origin": origin, "task": task, "plan": []})
    return rows
