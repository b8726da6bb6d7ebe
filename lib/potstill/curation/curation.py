"""Judge candidate rows one after the other: size, subset, repetition, benchmarks, execution.

A row that fails is never repaired: it is rejected with the first reason that holds. Failed teacher
answers are still worth something: with the error that the executor really printed and a solution
that really runs they teach the student to mend code. So do references with a planted fault, and the
failures of any model whose answers are given, such as the student's own.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from potstill import files, sandbox, subset
from potstill.curation import privacy, proof, quality, variety
from potstill.curation.contamination import Benchmarks
from potstill.curation.duplicates import near
from potstill.curation.proof import Execution
from potstill.models.formats import Origin
from potstill.tasks import failures

Row = dict[str, Any]
_SHOWN = ("licence", "language", "group", "task", "plan", "origin", "code")  # in reflect rows
FAULTY: tuple[Origin, ...] = ("slip", "student")  # wanted for their faults alone


@dataclass(frozen=True)
class Limits:
    """How many are kept.

    Attributes:
        max_mined: mined functions that are tried for tests, in the order of their ids.
        min_quality: rows of a lower score are rejected, 0 to 1; all rows get theirs.
        answers_per_task: of the teacher, the shortest first, each other code.
        max_answer_ratio: times as long as the task's shortest solution that one may be.
    """

    max_mined: int
    min_quality: float
    answers_per_task: int
    max_answer_ratio: float


@dataclass
class Curated:
    """What came of the candidates."""

    accepted: list[Row] = field(default_factory=list)
    reflect: list[Row] = field(default_factory=list)
    rejected: list[Row] = field(default_factory=list)

    def reject(self, row: Row, reason: str, detail: str, also: Sequence[str] = ()) -> None:
        """Put a row aside with its reason, and with what else of it is wanted."""
        keys = ("id", "origin", "language", "group", "code", *also)
        kept = {key: row[key] for key in keys}
        self.rejected.append({**kept, "reason": reason, "detail": detail[:200]})

    def write(self, out: Path) -> dict[str, int]:
        """Make the folder with a JSONL file of each kind; return the counts."""
        out.mkdir()
        for name in ("accepted", "reflect", "rejected"):
            files.write_jsonl(out / f"{name}.jsonl", getattr(self, name))
        return self.counts()

    def counts(self) -> dict[str, int]:
        """Return rows in, kept and rejected, by origin and by reason; they add up."""
        metrics = {
            "num_in": len(self.accepted) + len(self.rejected),
            "num_kept": len(self.accepted),
            "num_reflect": len(self.reflect),
        }
        reasons = Counter(f"rejected_{row['reason']}" for row in self.rejected)
        origins = Counter(f"kept_{row['origin']}" for row in self.accepted)
        return {**metrics, **dict(sorted(reasons.items())), **dict(sorted(origins.items()))}


def curate(
    candidates: Iterable[Row],
    *,
    policy: str,
    max_code_characters: int,
    benchmarks: Benchmarks,
    heldout: Sequence[Row],
    near_duplicate: float,
    execution: Execution,
    limits: Limits,
) -> Curated:
    """Judge candidates in their order.

    Args:
        candidates: rows with id, origin, licence, language, group, task, plan, code, and, where
            they can be executed, entry_point, tests and reference. Mined rows come without tests.
        policy: name of the subset policy.
        max_code_characters: longer code is rejected.
        benchmarks: problems that must not be trained on.
        heldout: tasks of validation and test, which nothing may nearly repeat.
        near_duplicate: Jaccard index of texts from which on one repeats another, 0 to 1.
        execution: how programs are run.
        limits: how many of what passes are kept.
    """
    result = Curated()
    static = [row for row in candidates if _looks_right(row, policy, max_code_characters, result)]
    fresh = list(_first_of_each(_discreet(static, result), benchmarks, result))
    fresh = _unlike(fresh, heldout, near_duplicate, result)
    fresh = _good(_proven(fresh, limits.max_mined, result, execution), limits.min_quality, result)
    runnable = [row for row in fresh if row.get("tests")]
    results = execution.run([_case(row, execution.limits) for row in runnable])
    runs = dict(zip((row["id"] for row in runnable), results, strict=True))
    for row in fresh:
        run = runs.get(row["id"])
        if run is not None and not run.ok:
            said = failures.said(run)
            reason = "timeout" if run.exit_code == 124 else "tests_failed"
            result.reject(row, reason, said, also=("licence", "task"))  # for pairs of answers
            if said and row.get("reference"):
                result.reflect.append(_reflection(row, said))
        elif row["origin"] in FAULTY:
            result.reject(row, "no_fault", "")  # what no test can see teaches nothing to mend
        else:
            result.accepted.append(row)
    _choose(result, limits)
    return result


def _choose(result: Curated, limits: Limits) -> None:
    """Put surplus answers aside; the shortest that is kept mends what failed of its task."""
    answers = [row for row in result.accepted if row["origin"] == "teacher"]
    surplus = variety.surplus(answers, limits.answers_per_task, limits.max_answer_ratio)
    dropped = {row["id"]: reason for row, reason in surplus}
    for row in answers:
        if row["id"] in dropped:
            result.reject(row, dropped[row["id"]], "")
    result.accepted = [row for row in result.accepted if row["id"] not in dropped]
    fixes: dict[tuple[str, str], Row] = {}
    for row in sorted(answers, key=lambda row: (len(row["code"]), row["code"])):
        if row["id"] not in dropped:
            fixes.setdefault((row["language"], row["task"]), row)
    for row in result.reflect:
        if row["origin"] == "teacher":
            fix = fixes.get((row["language"], row["task"]))
            if fix is None:
                row["origin"] = "reference"  # whose answer mends it
            else:
                row |= {"fix": fix["code"], "teacher": fix["teacher"]}


def _looks_right(row: Row, policy: str, most: int, result: Curated) -> bool:
    if row.get("finish") == "refused":
        result.reject(row, "refused", row["text"])
    elif not row["code"].strip():
        result.reject(row, "empty", "")
    elif row.get("finish") == "length" and row["code"] == row.get("text", "").strip():
        result.reject(row, "cut_off", "the answer hit the token limit before its code ended")
    elif len(row["code"]) > most:
        result.reject(row, "too_long", f"{len(row['code'])} characters")
    else:
        verdict = subset.check(row["language"], row["code"], policy)
        if verdict.supported:
            return True
        first = verdict.reasons[0]
        result.reject(row, f"subset_{first.kind}", first.detail)
    return False


def _discreet(rows: list[Row], result: Curated) -> list[Row]:
    """Return the rows without secrets and personal data; what is put aside keeps none either."""
    kept = []
    for row in rows:
        found = privacy.find("\n".join([row["task"], *row["plan"], row["code"]]))
        if found is None:
            kept.append(row)
        else:
            result.reject({**row, "code": ""}, found.reason, found.kind)
    return kept


def _first_of_each(rows: list[Row], benchmarks: Benchmarks, result: Curated) -> Iterable[Row]:
    seen: set[str] = set()
    hits = benchmarks.hits([{**row, "text": f"{row['task']}\n{row['code']}"} for row in rows])
    for row, hit in zip(rows, hits, strict=True):
        key = files.row_id(row["language"], row["task"], " ".join(row["code"].split()))
        if key in seen:
            result.reject(row, "duplicate", "")
        elif hit:
            result.reject(row, "contaminated", hit)
        else:
            seen.add(key)
            yield row


def _unlike(rows: list[Row], heldout: Sequence[Row], least: float, result: Curated) -> list[Row]:
    """Return the rows that nearly repeat no held-out task and no earlier row of another group."""
    texts = [f"{task['task']}\n{task['reference'] or ''}" for task in heldout]
    texts += [f"{row['task']}\n{row['code']}" for row in rows]
    groups = [task["family"] for task in heldout] + [row["group"] for row in rows]
    kept = []
    for row, place in zip(rows, near(texts, groups, least)[len(heldout) :], strict=True):
        if place is None:
            kept.append(row)
        elif place < len(heldout):
            result.reject(row, "near_heldout", heldout[place]["id"])
        else:
            result.reject(row, "near_duplicate", rows[place - len(heldout)]["id"])
    return kept


def _proven(rows: list[Row], most: int, result: Curated, execution: Execution) -> list[Row]:
    """Return the rows, of the mined ones those that get tests of their own."""
    mined = sorted((row for row in rows if row["origin"] == "mined"), key=lambda row: row["id"])
    reasons = proof.prove(mined[:most], execution)
    reasons += ["not_tried"] * len(mined[most:])
    dropped = {row["id"] for row, reason in zip(mined, reasons, strict=True) if reason}
    for row, reason in zip(mined, reasons, strict=True):
        if reason:
            result.reject(row, reason, "")
    return [row for row in rows if row["id"] not in dropped]


def _good(rows: list[Row], least: float, result: Curated) -> list[Row]:
    """Return the rows of enough quality, each with its score and the score's parts."""
    kept = []
    for row in rows:
        parts = quality.parts(row)
        score = quality.score(parts)
        if score < least:
            result.reject(row, "low_quality", f"{score:.2f}")
        else:
            kept.append({**row, "quality": score, "quality_parts": parts})
    return kept


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
        "id": files.row_id(row["id"], "reflect"),
        "error": said,
        "fix": row["reference"],
    }
