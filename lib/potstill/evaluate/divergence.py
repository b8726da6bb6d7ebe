"""KL(teacher || artefact) at each token of held-out answers, by the artefact's own runtime.

It is over the teacher's vocabulary, as `record_reference` ran it: an adapted teacher has the ids
that were kept for it and its students, and says nothing of those that were trimmed away. An
artefact whose tokenizer makes other ids of the rows cannot be compared. What a runtime pads its
vocabulary with is left out, so that both sides sum to one over the same ids.

Dimensions: A ids of an answer, V ids of the teacher's vocabulary.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from potstill import statistics
from potstill.errors import InputError
from potstill.evaluate import scoring
from potstill.evaluate.grader import header
from potstill.evaluate.likelihood import log_softmax, readable
from potstill.evaluate.methods import Measured, Quotient, Row
from potstill.evaluate.scoring import Desk
from potstill.tasks import Problem
from potstill.tokens import recorded, spans
from potstill.tokens.recorded import Answered
from potstill.tokens.spans import RejectedError

MEASURE = "kl_nats"
FLAGS = ()
PARTS = ("format",)
UNITS = {"kl_nats": "nats a token"}
QUOTIENTS = {
    key: Quotient(key, "tokens", same=("teacher_sha256",)) for key in ("kl_nats", "same_top")
}


def rows(desk: Desk, problems: Sequence[Problem]) -> list[Row]:
    """Return a row for each answer.

    Keys: those of every row; kl_nats, summed over the answer's tokens, or null where it is no
    number; tokens; same_top, those at which both find the same id likeliest; vocabulary, V;
    teacher_sha256, of its checkpoint; reason, why the answer could not be read, else empty.
    """
    assert isinstance(desk.where.teacher, Path), "the task has problems without its file"
    teaching = recorded.read(desk.where.teacher)
    places = {answer.row["id"]: place for place, answer in enumerate(teaching.answers)}
    wanted = [(problem, 0) for problem in problems]
    open_ = [item for item in wanted if not desk.grader.has(*item)]
    with scoring.working(wanted, len(open_)) as finished:
        for problem, _ in open_:
            place = places[problem.id]
            try:
                found = _compare(desk, teaching.answers[place], teaching.logits(place))
            except (RejectedError, InputError) as error:
                found = {"kl_nats": None, "tokens": 0, "same_top": 0, "reason": str(error)}
            about = {"teacher_sha256": teaching.checkpoint_sha256}
            desk.grader.keep(header(problem) | found | about)
            finished()
    return desk.grader.rows(wanted)


def _compare(desk: Desk, answer: Answered, want_AV: np.ndarray) -> Row:
    """Compare one answer.

    Raises:
        RejectedError: it is none to this artefact.
        InputError: the runtime cannot read it.
    """
    size = want_AV.shape[1]
    ids, _ = spans.tokenise(desk.tokenizer, answer.row)
    if ids != answer.ids:
        raise RejectedError("the artefact's tokenizer makes other ids than the teacher's")
    if desk.runtime.vocab_size < size:
        raise RejectedError(f"the artefact has {desk.runtime.vocab_size} ids, the teacher {size}")
    got_AV = desk.runtime.logits(ids)[answer.start - 1 : -1, :size]
    total = kl(want_AV, got_AV)
    return {
        "kl_nats": round(total, 6) if math.isfinite(total) else None,
        "tokens": len(want_AV),
        "same_top": int((want_AV.argmax(axis=1) == got_AV.argmax(axis=1)).sum()),
        "vocabulary": size,
        "reason": "",
    }


def kl(want_AV: np.ndarray, got_AV: np.ndarray) -> float:
    """Return KL(want || got) of two tables of logits in nats, summed over their rows."""
    want, got = log_softmax(want_AV), log_softmax(got_AV)
    with np.errstate(invalid="ignore"):
        parts = np.where(np.isneginf(want), 0.0, np.exp(want) * (want - got))
    return float(parts.sum())


def measures(rows: Sequence[Row]) -> Measured:
    """Return the mean KL a token and the share of equal top ids, with what they are over.

    Raises:
        NothingMeasuredError: answers that cannot be read, or KL that is no number.
    """
    read = readable(rows, "kl_nats")
    tokens, families = [row["tokens"] for row in read], [row["family"] for row in read]
    values = {
        "kl_nats": statistics.cluster_ratio([row["kl_nats"] for row in read], tokens, families),
        "same_top": statistics.cluster_ratio([row["same_top"] for row in read], tokens, families),
    }
    notes = {
        "tokens": sum(tokens),
        "vocabulary": read[0]["vocabulary"],
        "teacher_sha256": read[0]["teacher_sha256"],
        "left_out": len(rows) - len(read),
    }
    return Measured(values, notes)
