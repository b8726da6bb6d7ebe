"""Read what the other stages measured into one typed object; name the file and key that is wrong.

Three things look alike in a folder of JSON and are kept apart here: a file that should be there and
is not (an error), a measurement that was not made (None, with the reason where it is shown), and a
number that is no number (an error: it must not travel on as a gap).
"""

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from potstill import files
from potstill.errors import InputError
from potstill.report import lineage
from potstill.report.record import Record
from potstill.report.results import (
    Curated,
    Estimate,
    History,
    Latency,
    Likelihood,
    Parity,
    Results,
    Student,
    Variant,
)

LIKELIHOOD_KEYS = ("id", "group", "nll_nats", "tokens")
ROW_KEYS = ("id", "task", "family", "level", "passed")
HISTORY_KEYS = ("step", "ce", "validation_nll")
VERDICTS = ("pass", "fail", "not-run")


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where the other stages' results lie: a file each, or a folder with a file a variant."""

    fetch_model: Path
    curate: Path
    build_dataset: Path
    build_vocabulary: Path
    adapt_teacher: Path
    init_student: Path
    cache_logits: Path
    distill: Path
    training: Path
    export: Path
    artefacts: Path
    score: Path
    scores: Path


def load(sources: Sources, students: dict[str, str], delivered: str) -> Results:
    """Read everything.

    Args:
        sources: where it lies.
        students: name of each student -> the variant through which it is scored.
        delivered: the student whose start the lineage shows.

    Raises:
        InputError: a file, key or row that is needed is missing or no number.
    """
    adapted = Record.read(sources.adapt_teacher)
    student = Record.read(sources.distill / f"{delivered}.json")
    start, signals = student.text("start"), filter(None, student.text("signals").split(","))
    return Results(
        students={name: _student(sources, name) for name in students},
        variants={
            path.stem: _variant(sources, path.stem)
            for path in sorted(sources.export.glob("*.json"))
            # git keeps the metrics of a variant that was removed; its artefact is gone
            if (sources.artefacts / path.stem).is_dir()
        },
        teacher_perplexity=adapted.estimate("test_perplexity", "test_rows"),
        teacher_validation_nats=adapted.number("validation_nll_nats"),
        teacher_test_rows=_likelihoods(sources.training / "teacher_adapted/test.jsonl"),
        curated=_curated(Record.read(sources.curate)),
        lineage=lineage.facts(
            teacher=Record.read(sources.fetch_model),
            dataset=Record.read(sources.build_dataset),
            vocabulary=Record.read(sources.build_vocabulary),
            adapted=adapted,
            start=Record.read(sources.init_student / f"{start}.json"),
            cached={n: Record.read(sources.cache_logits / f"{n}.json") for n in signals},
        ),
    )


def _student(sources: Sources, name: str) -> Student:
    record = Record.read(sources.distill / f"{name}.json")
    perplexity = record.estimate("test_perplexity", "test_rows")
    if perplexity is None:
        raise InputError(f"{record.path}: no test rows: raise build_dataset.max_test_rows")
    if perplexity.value < 1:
        raise InputError(
            f"{record.path}: test_perplexity is {perplexity.value}; it is at least 1: "
            "find out why in the log of distill"
        )
    return Student(
        name=name,
        start=record.text("start"),
        steps=record.whole("steps"),
        num_tokens=record.whole("num_tokens"),
        perplexity=perplexity,
        validation_nats=record.number("validation_nll_nats"),
        history=read_history(sources.training / name / "history.csv"),
        test_rows=_likelihoods(sources.training / name / "test.jsonl"),
    )


def _likelihoods(path: Path) -> list[Likelihood]:
    found = []
    for values in files.read_jsonl(path, LIKELIHOOD_KEYS):
        record = Record(f"{path}: row {values['id']}", values)
        row = Likelihood(
            id=record.text("id"),
            group=record.text("group"),
            nll_nats=record.number("nll_nats"),
            tokens=record.whole("tokens"),
        )
        if row.tokens < 1:
            raise InputError(f"{record.path}: tokens is {row.tokens}: run its stage again")
        found.append(row)
    return found


def read_history(path: Path) -> History:
    """Read a training history; a student that was not trained has one without rows.

    Raises:
        InputError: the file or a column is missing, or a cell is no number.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path} is missing: run `dvc repro` or `dvc pull`") from None
    reader = csv.DictReader(text.splitlines())
    missing = [key for key in HISTORY_KEYS if key not in (reader.fieldnames or ())]
    if missing:
        raise InputError(f"{path} has no column {', '.join(missing)}: run distill again")
    losses, validation = [], []
    for row in reader:
        step = _cell(path, row, "step")
        losses.append((step, _cell(path, row, "ce")))
        if row["validation_nll"]:
            validation.append((step, _cell(path, row, "validation_nll")))
    return History(losses, validation)


def _cell(path: Path, row: dict[str, str], key: str) -> float:
    try:
        value = float(row[key])
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{path}: {key} is {row[key]!r} at step {row['step']}, not a number")
    return value


def _variant(sources: Sources, name: str) -> Variant:
    exported = Record.read(sources.export / f"{name}.json")
    described = Record.read(sources.artefacts / name / "artifact.json")
    scores = sources.score / f"{name}.json"
    scored = Record.read(scores) if scores.exists() else None
    return Variant(
        name=name,
        checkpoint=exported.text("checkpoint"),
        format=exported.text("format"),
        quantisation=exported.text("quantisation"),
        size_bytes=exported.whole("bytes"),
        sha256=described.hashes(),
        parity=_parity(exported.part("parity")),
        katas=_rate(scored, "katas", "pass_at_1"),
        humaneval=_rate(scored, "humaneval", "pass_at_1"),
        inside_subset=_rate(scored, "katas", "inside_subset"),
        latency=_latency(exported.part("latency")),
        rows=_rows(sources.scores / f"{name}.jsonl", scored),
    )


def _parity(record: Record) -> Parity:
    verdict = record.text("verdict")
    if verdict not in VERDICTS:
        raise InputError(f"{record.path}: verdict is {verdict!r}; allowed: {', '.join(VERDICTS)}")
    if verdict == "not-run":
        return Parity(verdict, record.text("reason"), None)
    reason = str(record.values.get("reason") or "")
    return Parity(verdict, reason, record.estimate("top1_agreement", "n_tokens"))


def _latency(record: Record) -> Latency | None:
    if not record.optional("n"):
        return None
    return Latency(
        load_ms=record.number("load_ms"),
        first_token_ms_p50=record.number("ttft_ms_p50"),
        first_token_ms_p95=record.number("ttft_ms_p95"),
        tokens_per_s=record.number("tokens_per_s_p50"),
        peak_rss_mb=record.number("peak_rss_mb"),
        n=record.whole("n"),
        cpu=record.text("cpu"),
    )


def _rate(record: Record | None, task: str, measure: str) -> Estimate | None:
    if not _was_run(record, task):
        return None
    name = f"{task}.{measure}"
    value, low, high = (record.number(name + end) for end in ("", ".low", ".high"))
    return Estimate(value, low, high, record.whole(f"{task}.n"))


def _was_run(record: Record | None, task: str) -> TypeGuard[Record]:
    return record is not None and record.values.get(f"{task}.verdict") == "run"


def _rows(path: Path, scored: Record | None) -> list[dict[str, Any]]:
    """Return the rows of tasks that count as run."""
    if not path.exists():
        return []
    return [row for row in files.read_jsonl(path, ROW_KEYS) if _was_run(scored, row["task"])]


def _curated(record: Record) -> Curated:
    reasons = [key for key in record.values if key.startswith("rejected_")]
    return Curated(
        num_in=record.whole("num_in"),
        num_kept=record.whole("num_kept"),
        rejected={key.removeprefix("rejected_"): record.whole(key) for key in reasons},
    )
