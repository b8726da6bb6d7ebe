"""Scores with and without the problems that a training row is like."""

from collections.abc import Mapping
from typing import Any

from potstill.report import text
from potstill.report.comparison import View
from potstill.report.results import PAIRED, Score
from potstill.report.tables import NONE, Table


def table(view: View) -> Table:
    """Return what the training rows were compared with, for the tasks of the delivered export."""
    certificate = view.results.certificate
    rows = [
        _row(task, score, certificate)
        for task, score in sorted(view.item.scores.items())
        if task in certificate["tasks"]
    ]
    means = certificate["means"]
    return Table(
        "Contamination",
        f"Training rows against the tasks' problems: alike is a shared run of "
        f"{means['words']['hit_words']} words, or code from a Jaccard index of "
        f"{means['code']['suspect_jaccard']:g} on with names put aside. "
        f"Scores are of {view.item.name}.",
        ("Task", "Compared with", "Problems alike", "Score", "Score without these", "n without"),
        rows,
        left=2,
    )


def _row(task: str, score: Score, certificate: Mapping[str, Any]) -> tuple[str, ...]:
    entry = certificate["tasks"][task]
    parts = entry.get("made_of", [task])
    found = [certificate["tasks"][part] for part in parts]
    missing = [part for part, one in zip(parts, found, strict=True) if not one["compared"]]
    alike = {one["problem"] for one in certificate["likenesses"] if one["task"] in parts}
    if missing:
        words = f"not compared with {', '.join(missing)}"
    else:
        words = f"{text.whole(sum(one['num_texts'] for one in found))} texts of {', '.join(parts)}"
    keys = PAIRED.get(score.measure, ())
    # a task that puts a problem in its own way adds to its id
    clean = [row for row in score.rows if not {row["id"], row["id"].rpartition("/")[0]} & alike]
    shown = [
        text.percent(sum(all(row[key] for key in keys) for row in rows) / len(rows))
        if keys and rows
        else NONE
        for rows in (score.rows, clean)
    ]
    return (task, words, text.whole(len(alike)), *shown, text.whole(len(clean)))
