"""What may become a training row: answers, references, planted faults, mined functions.

Every candidate has id, origin, licence, language, group, task, plan and code; those that can be
executed also have entry_point, tests and reference.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from potstill import files
from potstill.curation import solved
from potstill.errors import InputError
from potstill.models import formats
from potstill.tasks.mutants import mutants

Row = dict[str, Any]
_NEEDED = ("id", "task", "tests", "entry_point", "reference", "group")  # of a function


def read(prompts: Path, samples: Path, functions: Path, others: Path, slips: int) -> Iterator[Row]:
    """Yield all candidates in order of precedence; tasks and functions alone are all held.

    Args:
        prompts: folder with train.jsonl, task rows.
        samples: JSONL of the teacher's answers to them and to functions.
        functions: JSONL of mined functions with tests, task rows too.
        others: folder of other models' answers to the tasks, any number of JSONL files.
        slips: references with a planted fault.

    Raises:
        InputError: another model's answer is to no task of train.jsonl.
    """
    tasks = {row["id"]: row for row in files.read_jsonl(prompts / "train.jsonl", ["id", "task"])}
    mine = {row["id"]: _by(row, solved.DOCSTRING) for row in files.read_jsonl(functions, _NEEDED)}
    needed = ("id", "text", "finish", "teacher")
    yield from answers(tasks | mine, files.read_jsonl(samples, needed))
    yield from answers(tasks, _of_others(tasks, others), "student")
    yield from references(tasks, slips)
    own = (_asked(mine, row) for row in files.read_jsonl(samples, needed) if "request" in row)
    yield from mined([*mine.values(), *{row["id"]: row for row in own}.values()])


def _by(function: Row, whose: str) -> Row:
    """Return a mined function, a task row, with what a row says of its request."""
    return {"function": function["id"], **function, "request_by": whose}


def _asked(tasks: Mapping[str, Row], answer: Row) -> Row:
    """Return the task that an answer is to: of a mined function it may have a request of its own.

    The same function asked for in other words is another task.
    """
    task = tasks[answer["id"]]
    if "request" not in answer:
        return task
    identity = files.row_id(task["id"], answer["request"])
    return {**_by(task, solved.TEACHER), "id": identity, "task": answer["request"]}


def heldout(prompts: Path) -> list[Row]:
    """Return the tasks of validation and test."""
    paths = (prompts / "validation.jsonl", prompts / "test.jsonl")
    return [row for path in paths for row in files.read_jsonl(path, ["id", "task", "family"])]


def _of_task(task: Row, origin: formats.Origin, code: str) -> Row:
    identity = files.row_id(task["id"], origin, code)
    return {**task, "id": identity, "origin": origin, "code": code, "group": task["family"]}


def _of_others(tasks: Mapping[str, Row], folder: Path) -> Iterator[Row]:
    for path in sorted(folder.glob("*.jsonl")):
        for answer in files.read_jsonl(path, ["id", "text"]):
            if answer["id"] not in tasks:
                raise InputError(
                    f"{path}: {answer['id']} is no task of data/prompts/train.jsonl: give answers "
                    "to training tasks alone, with their ids"
                )
            yield {"finish": "stop", "teacher": None, **answer}


def answers(
    tasks: Mapping[str, Row], samples: Iterable[Row], origin: formats.Origin = "teacher"
) -> Iterator[Row]:
    """Yield the code of every answer, with what `curate` needs to judge a cut one."""
    for answer in samples:
        yield {
            **_of_task(_asked(tasks, answer), origin, formats.extract_code(answer["text"])),
            "text": answer["text"],
            "finish": answer["finish"],
            "teacher": answer["teacher"],
        }


def references(tasks: Mapping[str, Row], slips: int) -> list[Row]:
    """Return the references of all tasks, and `slips` of them with a planted fault."""
    known = [task for task in tasks.values() if task["reference"]]
    rows = [_of_task(task, "reference", task["reference"]) for task in known]
    tested = sorted((task for task in known if task["tests"]), key=lambda task: task["id"])
    faults = (
        (task, code)
        for task in tested[:slips]
        for code in mutants(task["reference"], 1, task["id"], task["language"])
    )
    return [*rows, *(_of_task(task, "slip", code) for task, code in faults)]


def mined(functions: Iterable[Row]) -> Iterator[Row]:
    """Yield mined functions with tests as they stand in their modules."""
    origin: formats.Origin = "mined"
    for row in functions:
        yield {**row, "origin": origin, "code": row["reference"]}
