"""Judge candidate rows: size, subset, benchmarks, repetition, execution.

A row that fails is never repaired: it is rejected with the first reason that holds. Failed teacher
answers are still worth something: with the error that the executor really printed and a solution
that really runs they teach the student to mend code. So do references with a planted fault, and the
failures of any model whose answers are given, such as the student's own.

Nothing is held for all rows but what tells repetition: rows go from file to file, shard by shard.
What is finished in the scratch folder is not done again, and the outputs are the same bytes for any
number of workers and after any number of kills.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from potstill import files, sandbox
from potstill.curation import choice, engines, quality, shards, solved
from potstill.curation.repetition import Corpus
from potstill.models.formats import Origin
from potstill.params import Section
from potstill.tasks import failures
from potstill.testing.execution import Execution

Row = dict[str, Any]
_SHOWN = ("licence", "language", "group", "task", "plan", "origin", "code")  # in reflect rows
FAULTY: tuple[Origin, ...] = ("slip", "student")  # wanted for their faults alone


class Settings(Section):
    """What is kept of rows that are right by themselves, and where that is found out."""

    near_duplicate: Annotated[float, Field(gt=0, le=1)]  # Jaccard index of texts that repeat
    min_quality: Annotated[float, Field(ge=0, le=1)]  # rows of a lower score are rejected
    answers_per_task: Annotated[int, Field(ge=0)]  # of the teacher that are kept, each other code
    max_answer_ratio: Annotated[float, Field(ge=1)]  # of its length to the shortest solution's
    engine: engines.Engine  # local, or ray: where rows are judged by themselves


def curate(
    candidates: Iterable[Row],
    *,
    rules: shards.Rules,
    heldout: Sequence[Row],
    settings: Settings,
    execution: Execution,
    out: Path,
    scratch: Path,
) -> dict[str, int]:
    """Judge candidates, write `choice.OUTPUTS` as JSONL and return rows in, kept and rejected.

    The counts, by origin and by reason, add up.

    Args:
        candidates: rows with id, origin, licence, language, group, task, plan, code, and, where
            they can be executed, entry_point, tests and reference.
        rules: what a row is judged by alone.
        heldout: tasks of validation and test, which nothing may nearly repeat.
        settings: see there.
        execution: how programs are run.
        out: folder for the outputs; it is made.
        scratch: folder for what is finished; found again by the same run alone.

    Raises:
        InputError: an unknown policy or language, or the sandbox lacks a layer.
    """
    there = scratch / "shards"
    folders = shards.judge_all(candidates, rules, there, settings.engine, execution.workers)
    corpus = Corpus(folders, heldout)
    repeated = corpus.repeats(settings.near_duplicate)
    settled = [scratch / f"settled-{folder.name}" for folder in folders]
    for number, path in enumerate(settled):
        if not path.exists():
            left = _left(corpus, number, repeated)
            _settle(_graded(left, settings.min_quality), folders[number], execution, path)
    totals = sum((Counter(files.read_json(path / "counts.json")) for path in settled), Counter())
    totals += choice.write(settled, out, settings.answers_per_task, settings.max_answer_ratio)
    first = {f"num_{key}": totals.pop(key, 0) for key in ("in", "kept", "reflect")}
    return first | dict(sorted(totals.items()))


def _left(
    corpus: Corpus, number: int, repeated: Mapping[int, int | None]
) -> Iterator[tuple[Row, shards.Refusal | None]]:
    """Yield the rows of a shard, and why one is refused."""
    rows = files.read_jsonl(corpus.folders[number] / "rows.jsonl")
    for place, row in enumerate(rows, corpus.begins[number]):
        yield row, corpus.refusal(repeated[place]) if place in repeated else None


def _graded(
    rows: Iterable[tuple[Row, shards.Refusal | None]], least: float
) -> Iterator[tuple[Row, shards.Refusal | None]]:
    """Yield the rows that are left with their quality and its parts; refuse those of too little."""
    for row, refusal in rows:
        if refusal:
            yield row, refusal
            continue
        parts = quality.parts(row)
        score = quality.score(parts)
        low = ("low_quality", f"{score:.2f}") if score < least else None
        yield {**row, "quality": score, "quality_parts": parts}, low


def _settle(
    rows: Iterable[tuple[Row, shards.Refusal | None]],
    folder: Path,
    execution: Execution,
    path: Path,
) -> None:
    """Execute the rows of a shard that are left and write its share of the outputs."""
    found: dict[str, list[Row]] = {name: [] for name in choice.OUTPUTS}
    found["rejected"] += files.read_jsonl(folder / "rejected.jsonl")
    left = []
    for row, refusal in rows:
        if refusal:
            found["rejected"].append(shards.rejected(row, *refusal))
        else:
            left.append(row)
    runnable = [row for row in left if row.get("tests")]
    results = execution.run([_case(row, execution.limits) for row in runnable])
    runs = {id(row): run for row, run in zip(runnable, results, strict=True)}
    for row in left:
        _place(row, runs.get(id(row)), found)
    counts = Counter(f"rejected_{row['reason']}" for row in found["rejected"])
    counts.update(f"kept_{row['origin']}" for row in found["accepted"])
    counts.update({"kept": len(found["accepted"]), "reflect": len(found["reflect"])})
    counts["in"] = len(found["accepted"]) + len(found["rejected"])
    partial = files.partial_path(path)
    files.remove(partial)
    partial.mkdir()
    for name, mine in found.items():
        files.write_jsonl(partial / f"{name}.jsonl", mine)
    requests = solved.of_shard(found["accepted"], found["rejected"])
    files.write_jsonl(partial / solved.FILE, requests)
    files.write_json(partial / "counts.json", counts)
    partial.replace(path)


def _place(row: Row, run: sandbox.RunResult | None, found: dict[str, list[Row]]) -> None:
    """Put a row that was executed, or cannot be, where it belongs."""
    if run is not None and not run.ok:
        said = failures.said(run)
        reason = "timeout" if run.exit_code == 124 else "tests_failed"
        also = ("licence", "task", "teacher")  # for pairs of answers
        found["rejected"].append(shards.rejected(row, reason, said, also))
        if said and row.get("reference") not in (None, row["code"]):
            found["reflect"].append(_reflection(row, said))
    elif row["origin"] in FAULTY:  # what no test can see teaches nothing to mend
        found["rejected"].append(shards.rejected(row, "no_fault", ""))
    else:
        found["accepted"].append(row)


def _case(row: Row, limits: sandbox.Limits) -> sandbox.Case:
    return sandbox.Case(
        language=row["language"],
        code=row["code"],
        tests=row["tests"],
        entry_point=row["entry_point"],
        limits=limits,
    )


def _reflection(row: Row, said: str) -> Row:
    """Return a row that shows broken code, its real error and the reference that passes."""
    return {
        **{key: row[key] for key in _SHOWN},
        **shards.request(row),
        "id": files.row_id(row["id"], "reflect"),
        "error": said,
        "fix": row["reference"],
    }
