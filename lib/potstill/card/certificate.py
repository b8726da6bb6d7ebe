"""What the training rows of a data set were compared with, how, and what they are like.

It is made of the rows as they are trained on, whatever made them. A suspect is a likeness that may
be by chance; a hit would have been dropped by `curate`. Who scores can leave out the problems that
have either.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from potstill import files
from potstill.curation.contamination import Benchmarks, Likeness

Row = Mapping[str, Any]
SCHEMA = 1
OF_CODE = ("code", "reflect")  # formats whose answer is a program


def certify(dataset: Path, rejected: Iterable[Row], benchmarks: Benchmarks) -> dict[str, Any]:
    """Return the certificate of a data set.

    Args:
        dataset: folder with train.jsonl.
        rejected: rows that `curate` put aside, with reason and detail.
        benchmarks: what to compare with.

    Returns:
        schema, num_rows and rows_sha256 of the training rows; means: thresholds; tasks: with what
        each was compared, num_hits and num_suspects; likenesses: row, task, problem, by, score and
        is_hit; dropped: row and detail of what was contaminated and is not in the data set.
    """
    path = dataset / "train.jsonl"
    rows = list(files.read_jsonl(path, ("id", "format", "language", "messages")))
    found = benchmarks.likenesses([_judged(row) for row in rows])
    likenesses = [_entry(row, one) for row, each in zip(rows, found, strict=True) for one in each]
    numbers = Counter((entry["task"], entry["is_hit"]) for entry in likenesses)
    tasks = benchmarks.compared()
    for name, task in tasks.items():
        if task["compared"] and "made_of" not in task:
            task |= {"num_hits": numbers[name, True], "num_suspects": numbers[name, False]}
    return {
        "schema": SCHEMA,
        "num_rows": len(rows),
        "rows_sha256": files.sha256_file(path),
        "means": benchmarks.means(),
        "tasks": tasks,
        "likenesses": likenesses,
        "dropped": [
            {"row": row["id"], "detail": row["detail"]}
            for row in rejected
            if row["reason"] == "contaminated"
        ],
    }


def _judged(row: Row) -> dict[str, str]:
    """Return what is compared of a row: what is asked and answered, and the answer's code."""
    said: Sequence[str] = [str(m["content"]) for m in row["messages"] if m["role"] != "system"]
    code = said[-1] if row["format"] in OF_CODE else ""
    return {"text": "\n".join(said), "code": code, "language": str(row["language"])}


def _entry(row: Row, one: Likeness) -> dict[str, Any]:
    where = {"row": row["id"], "group": row["group"], "task": one.task, "problem": one.problem}
    return {**where, "by": one.by, "score": one.score, "is_hit": one.is_hit}
