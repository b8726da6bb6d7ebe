"""The project's own tasks, and those of the folder prompts/ that have tests.

`collect_prompts` wrote them, divided into splits by family: a split holds nothing of another's.
"""

from potstill import files
from potstill.models import formats
from potstill.tasks.problem import Problem
from potstill.tasks.where import UnavailableError, Where

LICENCE = "Apache-2.0"
SPLITS = ("validation", "test")
KEYS = ("id", "language", "task", "entry_point", "tests", "family", "level", "reference")


def problems(where: Where) -> list[Problem]:
    """Return the rows of the split that have tests."""
    if where.prompts is None:
        raise UnavailableError("the folder of prompts that the pipeline makes is not given")
    path = where.prompts / f"{where.split}.jsonl"
    if not path.is_file():
        raise UnavailableError(f"{path} is missing: run collect_prompts")
    rows = files.read_jsonl(path, KEYS)
    return [
        Problem(
            id=row["id"],
            task="katas",
            language=row["language"],
            messages=formats.code_prompt(row["task"], row["language"]),
            entry_point=row["entry_point"],
            tests=row["tests"],
            family=row["family"],
            level=row["level"],
            reference=row["reference"] or "",
        )
        for row in rows
        if row["tests"]
    ]


def texts(where: Where) -> list[str]:  # noqa: ARG001 - every task is asked alike
    """Return none: whole families are kept out of the training split."""
    return []
