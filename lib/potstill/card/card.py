"""The data card: what a data set holds, on one HTML page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from potstill.card import facts
from potstill.card.facts import Row, Table
from potstill.report import figure, page
from potstill.splits import Split

TEMPLATE = Path(__file__).with_name("card.html")
MOST_LIKENESSES = 40
BINS = 24


def render(
    splits: Mapping[Split, Sequence[Row]],
    rejected: Sequence[Row],
    told: Mapping[str, int],
    certificate: Mapping[str, Any],
) -> str:
    """Return the page; equal rows give equal bytes.

    Args:
        splits: the rows of each split.
        rejected: what `curate` put aside.
        told: accepted candidates by the natural language of their request.
        certificate: of the training rows, as `certificate.certify` has it.
    """
    import markupsafe

    likenesses = sorted(certificate["likenesses"], key=lambda one: (-one["is_hit"], -one["score"]))
    return page.render(
        TEMPLATE,
        tables=facts.tables(splits, rejected, told),
        histogram=markupsafe.Markup(_histogram(facts.lengths(splits["train"]))),
        means=certificate["means"],
        compared=_compared(certificate),
        likenesses=_likenesses(likenesses),
        num_rows=certificate["num_rows"],
        rows_sha256=certificate["rows_sha256"],
        dropped=len(certificate["dropped"]),
        samples=facts.samples(splits["train"]),
    )


def _compared(certificate: Mapping[str, Any]) -> Table:
    rows = []
    for name, task in certificate["tasks"].items():
        if not task["compared"]:
            rows.append([name, f"not compared: {task['reason']}", "", "", ""])
        elif "made_of" in task:
            rows.append([name, f"made of {', '.join(task['made_of'])}", "", "", ""])
        else:
            keys = ("num_codes", "num_hits", "num_suspects")
            numbers = [f"{task[key]:,}" for key in keys]
            rows.append([name, f"{task['num_texts']:,} texts", *numbers])
    head = ["task", "compared with", "by code", "hits", "suspects"]
    return Table("Evaluation tasks", "", head, rows)


def _likenesses(found: Sequence[Mapping[str, Any]]) -> Table:
    shown = found[:MOST_LIKENESSES]
    rows = [
        [
            one["group"],
            f"{one['task']} {one['problem']}",
            one["by"],
            f"{one['score']:.2f}",
            "hit" if one["is_hit"] else "suspect",
        ]
        for one in shown
    ]
    left = len(found) - len(shown)
    note = f"{left:,} more are in certificate.json." if left else ""
    return Table("What is alike", note, ["row of", "problem", "by", "score", "is"], rows)


def _histogram(values: Sequence[int]) -> str:
    with figure.drawing("lengths") as (drawn, axes):
        axes.hist(values, bins=BINS, color=figure.STUDENT)
        axes.set_xlabel("Characters of request and answer")
        axes.set_ylabel("Training rows")
        words = f"Lengths of {len(values):,} training rows"
        return figure.to_svg(drawn, "lengths", words)
