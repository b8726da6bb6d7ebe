"""Which of a task's passed answers are kept: short ones, each unlike the others.

Two answers are the same code where their syntax trees differ by no more than the names of
variables, docstrings, types and layout.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from potstill.curation.shapes import Shape, shapes

Row = dict[str, Any]


def surplus(rows: Sequence[Row], most: int, ratio: float) -> Iterator[tuple[Row, str]]:
    """Yield the passed answers that are not kept, each with its reason.

    Args:
        rows: passed answers with task, language, code and reference.
        most: answers that are kept of a task, the shortest first.
        ratio: times as long as the task's shortest known solution that an answer may be.
    """
    tasks: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        tasks[row["language"], row["task"]].append(row)
    for answers in tasks.values():
        answers.sort(key=lambda row: (len(row["code"]), row["code"]))
        references = [row["reference"] for row in answers if row["reference"]]
        shortest = min(map(len, [answers[0]["code"], *references]))
        made = shapes([row["code"] for row in answers], answers[0]["language"], exact=True)
        seen: set[Shape] = set()
        for row, shape in zip(answers, made, strict=True):
            mine = shape or (row["code"],)  # too deep for the parser
            if len(row["code"]) > ratio * shortest:
                yield row, "long_winded"
            elif mine in seen:
                yield row, "same_code"
            elif len(seen) == most:
                yield row, "enough_answers"
            else:
                seen.add(mine)
