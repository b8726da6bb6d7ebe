"""Shown outside the report: numbers for `dvc plots`, a picture and a table for documents."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from potstill import files
from potstill.report import figure, flat, plots, tables
from potstill.report.comparison import View


def write(view: View, folder: Path) -> None:
    """Write the folder; equal numbers give equal bytes.

    validation_loss.csv: student, step, nats (a validation token).
    own_answers.csv: student, step, of students that are taught on their own answers kl_nats and
        staleness_nats (a token), passed and inside (per cent of the step's answers).
    quality.csv: export, role, rate, low, high (per cent, of the primary endpoint's measure), mb,
        tok_s; without speed an empty cell.
    rejections.csv: reason, rows.
    quality.svg: pass rate over size, with intervals. table.md: at most six exports.
    results.json: every export as one flat object; see `flat.objects`.
    """
    folder.mkdir()
    _write(folder / "validation_loss.csv", ("student", "step", "nats"), _losses(view))
    told = ("student", "step", "kl_nats", "staleness_nats", "passed", "inside")
    _write(folder / "own_answers.csv", told, _own_answers(view))
    head = ("export", "role", "rate", "low", "high", "mb", "tok_s")
    _write(folder / "quality.csv", head, _quality(view))
    rejected = view.results.curated.rejected.items()
    ranked = sorted(rejected, key=lambda item: (-item[1], item[0]))
    _write(folder / "rejections.csv", ("reason", "rows"), [row for row in ranked if row[1]])
    picture = plots.against_size(view).svg
    if picture is not None:
        files.write_text(folder / "quality.svg", figure.standalone(picture))
    files.write_json(folder / "results.json", flat.objects(view))
    files.write_text(folder / "table.md", tables.lines(tables.short(view)))


def _losses(view: View) -> Iterable[tuple[str, float, float]]:
    """Return the validation loss of every student; step 0 is that of one without training."""
    runs = [run for student in view.students.values() for run in student.runs]
    starts = {run.start: run.validation_nats for run in runs if run.steps == 0}
    for run in runs:
        if run.start in starts:
            yield run.name, 0, round(starts[run.start], 4)
        for step, nats in run.history.validation:
            yield run.name, int(step), round(nats, 4)


def _own_answers(view: View) -> Iterable[tuple[str | float, ...]]:
    for run in (run for student in view.students.values() for run in student.runs):
        for one in run.history.answers:
            nats = (round(one.kl_nats, 4), round(one.staleness_nats, 5))
            shares = (round(100 * one.passed, 1), round(100 * one.inside, 1))
            yield run.name, int(one.step), *nats, *shares


def _quality(view: View) -> Iterable[tuple[str | float, ...]]:
    for item in view.drawn:
        found = item.rate(view.settings.primary.task, view.settings.primary.measure)
        if found is None:
            continue
        rates = (found.value, found.low, found.high)
        speed = round(item.latency.tokens_per_s, 1) if item.latency else ""
        size = round(item.size_bytes / 1e6, 1)
        shown = (round(100 * rate, 1) for rate in rates)
        yield (item.name, view.role(item), *shown, size, speed)


def _write(path: Path, head: Sequence[str], rows: Iterable[Sequence[str | float]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)
