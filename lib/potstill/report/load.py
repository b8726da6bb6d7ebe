"""Read what the other stages measured into one typed object; name the file and key that is wrong.

Three things look alike in a folder of JSON and are kept apart here: a file that should be there and
is not (an error), a measurement that was not made (None, with the reason where it is shown), and a
number that is no number (an error: it must not travel on as a gap).
"""

import csv
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from potstill import files
from potstill.errors import InputError
from potstill.params import closest
from potstill.report import lineage
from potstill.report.record import Record
from potstill.report.results import (
    PAIRED,
    Answers,
    Curated,
    Estimate,
    History,
    Latency,
    Likelihood,
    Parity,
    Results,
    Run,
    Score,
    Teacher,
    Variant,
)
from potstill.report.settings import Comparison

LIKELIHOOD_KEYS = ("id", "group", "nll_nats", "tokens")
FLAGS = sorted({key for keys in PAIRED.values() for key in keys})
ROW_KEYS = ("id", "task", "family")
HISTORY_KEYS = ("step", "ce", "validation_nll")
# of a student's own answers, in the order of `Answers`
ANSWER_KEYS = ("divergence", "staleness", "passed_share", "accepted_share")
VERDICTS = ("pass", "fail", "not-run")


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where the other stages' results lie."""

    teacher: Path  # metrics of fetch_model, of the model that teaches
    metrics: Path
    data: Path
    models: Path

    def stage(self, name: str) -> Path:
        """Return the metrics of a stage or, as `stage/variant`, of one of its variants."""
        return self.metrics / f"{name}.json"

    def training(self, run: str) -> Path:
        """Return the folder of what was measured while a checkpoint was trained."""
        return self.data / "training" / run


def load(sources: Sources, settings: Comparison) -> Results:
    """Read everything.

    Raises:
        InputError: a file, key or row that is needed is missing or no number, or a role of the
            settings names an export that there is not.
    """
    variants = {
        path.stem: _variant(sources, path.stem)
        for path in sorted((sources.metrics / "export").glob("*.json"))
        # git keeps the metrics of a variant that was removed; its artefact is gone
        if (sources.models / "artefacts" / path.stem).is_dir()
    }
    roles = {f"students.{name}": exports for name, exports in settings.students.items()}
    roles |= {"teacher": [settings.teacher], "baseline": [settings.baseline]}
    for role, exports in roles.items():
        for name in exports:
            if name not in variants:
                known = closest(name, variants)
                raise InputError(f"params.yaml: compare.{role}: no variant {name!r}; {known}")
    shown = [variants[name] for exports in settings.students.values() for name in exports]
    runs = {item.owner: _run(sources, item.owner) for item in shown}
    student = runs[variants[settings.students[settings.student][0]].owner]
    adapted = Record.read(sources.stage("adapt_teacher/adapted"))
    test_rows = sources.training(variants[settings.teacher].owner) / "test.jsonl"
    return Results(
        runs=runs,
        variants=variants,
        teacher=Teacher(
            adapted.estimate("test_perplexity", "test_rows"),
            adapted.number("validation_nll_nats"),
            _likelihoods(test_rows),
        ),
        curated=_curated(Record.read(sources.stage("curate"))),
        certificate=files.read_json(sources.data / "card/certificate.json"),
        lineage=lineage.facts(
            teacher=Record.read(sources.teacher),
            dataset=Record.read(sources.stage("build_dataset")),
            vocabulary=Record.read(sources.stage("build_vocabulary")),
            adapted=adapted,
            start=Record.read(sources.stage(f"init_student/{_first(sources, student.start)}")),
            cached={
                name: Record.read(sources.stage(f"cache_logits/{name}")) for name in student.signals
            },
        ),
    )


def _first(sources: Sources, start: str) -> str:
    """Return the name of the start that a student goes back to, over students it went on from."""
    kind, _, name = start.rpartition("/")
    if kind != "students":
        return name
    return _first(sources, Record.read(sources.stage(f"distill/{name}")).text("start"))


def _run(sources: Sources, name: str) -> Run:
    record = Record.read(sources.stage(f"distill/{name}"))
    perplexity = record.estimate("test_perplexity", "test_rows")
    if perplexity is None:
        raise InputError(f"{record.path}: no test rows: raise build_dataset.max_test_rows")
    if perplexity.value < 1:
        raise InputError(
            f"{record.path}: test_perplexity is {perplexity.value}; it is at least 1: "
            "find out why in the log of distill"
        )
    start = record.text("start")
    cut = Record.read(sources.stage(f"init_student/{_first(sources, start)}"))
    return Run(
        name=name,
        start=start,
        budget_bytes=cut.number("budget_bytes") if "budget_bytes" in cut.values else None,
        signals=[name for name in record.text("signals").split(",") if name],
        steps=record.whole("steps"),
        seed=record.whole("seed"),
        num_tokens=record.whole("num_tokens"),
        perplexity=perplexity,
        validation_nats=record.number("validation_nll_nats"),
        history=read_history(sources.training(name) / "history.csv"),
        test_rows=_likelihoods(sources.training(name) / "test.jsonl"),
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
    losses, validation, answers = [], [], []
    for row in reader:
        step = _cell(path, row, "step")
        losses.append((step, _cell(path, row, "ce")))
        if row["validation_nll"]:
            validation.append((step, _cell(path, row, "validation_nll")))
        if row.get("staleness"):
            cells = (_cell(path, row, key) for key in ANSWER_KEYS)
            answers.append(Answers(step, *cells))
    return History(losses, validation, answers)


def _cell(path: Path, row: dict[str, str], key: str) -> float:
    try:
        value = float(row[key])
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{path}: {key} is {row[key]!r} at step {row['step']}, not a number")
    return value


def _variant(sources: Sources, name: str) -> Variant:
    exported = Record.read(sources.stage(f"export/{name}"))
    described = Record.read(sources.models / "artefacts" / name / "artifact.json")
    return Variant(
        name=name,
        checkpoint=exported.text("checkpoint"),
        format=exported.text("format"),
        quantisation=exported.text("quantisation"),
        size_bytes=exported.whole("bytes"),
        sha256=described.hashes(),
        parity=_parity(exported.part("parity")),
        scores=_scores(sources, name),
        latency=_latency(exported.part("latency")),
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


def _scores(sources: Sources, name: str) -> dict[str, Score]:
    path = sources.stage(f"score/{name}")
    if not path.exists():
        return {}
    rows: dict[str, list[dict[str, Any]]] = {}
    answers = sources.data / "scores" / f"{name}.jsonl"
    for row in files.read_jsonl(answers, ROW_KEYS) if answers.exists() else ():
        rows.setdefault(str(row["task"]), []).append(row)
        for key in FLAGS:
            if not isinstance(row.get(key, False), bool):
                raise InputError(f"{answers}: row {row['id']}: {key} is {row[key]!r}, no verdict")
    record = Record.read(path)
    tasks = [key.removesuffix(".verdict") for key in record.values if key.endswith(".verdict")]
    return {task: _score(record, task, rows.get(task, [])) for task in tasks}


def _score(record: Record, task: str, rows: list[dict[str, Any]]) -> Score:
    verdict = record.text(f"{task}.verdict")
    if verdict not in ("run", "not-run"):
        raise InputError(f"{record.path}: {task}.verdict is {verdict!r}; allowed: run, not-run")
    count, measure = record.whole(f"{task}.n"), str(record.values.get(f"{task}.measure", ""))
    if verdict == "not-run":
        return Score(task, record.text(f"{task}.reason"), measure, {}, [])
    if count == 0:
        return Score(task, "no problems were tried", measure, {}, [])
    if len(rows) != count:
        return Score(task, f"{len(rows)} rows of {count}: run score again", measure, {}, [])
    measures = _measures(record, task)
    for row in rows:
        lacks = {key for name in measures for key in PAIRED.get(name, ()) if key not in row}
        if lacks:
            named = ", ".join(sorted(lacks))
            raise InputError(f"{record.path}: {task}: row {row['id']} lacks {named}")
    return Score(task, "", record.text(f"{task}.measure"), measures, rows)


def _measures(record: Record, task: str) -> dict[str, Estimate]:
    """Return what a record says of a task: of the whole, and of its parts as name[key=value]."""
    measures = {}
    for key in record.values:
        name, _, measure = key.removesuffix(".low").partition(".")
        if name == task and key.endswith(".low"):
            label = f"{task}.{measure}"
            own = f"{label}.n" if f"{label}.n" in record.values else f"{task}.n"  # of a part
            found = record.estimate(label, own, sign=".")
            if found is not None:
                unit = str(record.values.get(f"{label}.unit", ""))
                measures[measure] = replace(found, unit=unit)
    return measures


def _curated(record: Record) -> Curated:
    reasons = [key for key in record.values if key.startswith("rejected_")]
    return Curated(
        num_in=record.whole("num_in"),
        num_kept=record.whole("num_kept"),
        rejected={key.removeprefix("rejected_"): record.whole(key) for key in reasons},
    )
