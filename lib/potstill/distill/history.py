"""The history of a training as a file: a row a step, which the report and `dvc plots` draw."""

import csv
from collections.abc import Sequence
from pathlib import Path

NAME = "history.csv"
COLUMNS = (
    *("step", "tokens", "loss", "ce", "divergence", "lr", "validation_nll"),
    "hidden",  # where layers are matched
    *("margin", "correct"),  # of pairs
    *("staleness", "answer_length", "cut_share", "passed_share", "accepted_share"),  # its answers
    *("inside_share", "inside_n"),  # where `inside` is set
    "layer_cosine",  # where `qat` is set
    "delivered",  # 1 at the step whose weights are saved
)


def write(folder: Path, history: Sequence[dict[str, float]]) -> None:
    """Write the file into a folder; of a model that was not trained it has no rows."""
    with (folder / NAME).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
