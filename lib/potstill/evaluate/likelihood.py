"""How likely the artefact finds the reference answers, by its own runtime and tokenizer.

Nothing is written: the runtime reads each prompt with its reference and gives the logits. What
counts are the tokens of the answer with the token that ends it, as in training. Perplexity a token
compares artefacts that share a tokenizer; bits a byte compare all.

Dimensions: T ids of prompt and answer, V vocabulary, A ids of the answer.
"""

import math
from collections.abc import Sequence

import numpy as np

from potstill import statistics
from potstill.errors import InputError
from potstill.evaluate import scoring
from potstill.evaluate.grader import header
from potstill.evaluate.methods import Measured, NothingMeasuredError, Quotient, Row
from potstill.evaluate.scoring import Desk
from potstill.models import formats
from potstill.statistics import Interval
from potstill.tasks import Problem
from potstill.tokens import spans
from potstill.tokens.examples import Example, num_bytes
from potstill.tokens.spans import RejectedError

MEASURE = "perplexity"
FLAGS = ()
PARTS = ("format",)
UNITS = {"perplexity": "a token", "bits_per_byte": "bits a byte"}
QUOTIENTS = {
    "perplexity": Quotient("nll_nats", "tokens", exponential=True),
    "bits_per_byte": Quotient("nll_nats", "bytes", scale=1 / math.log(2)),
}
MAX_LEFT_OUT = 0.02  # share of references that cannot be read above which nothing is said
_MOST_NATS = 700.0  # a token; e to more is no float


def rows(desk: Desk, problems: Sequence[Problem]) -> list[Row]:
    """Return a row for each reference; see `_row`."""
    wanted = [(problem, 0) for problem in problems]
    open_ = [item for item in wanted if not desk.grader.has(*item)]
    with scoring.working(wanted, len(open_)) as finished:
        for problem, _ in open_:
            desk.grader.keep(_row(desk, problem))
            finished()
    return desk.grader.rows(wanted)


def _row(desk: Desk, problem: Problem) -> Row:
    """Return what the artefact makes of one reference.

    Keys: those of every row; nll_nats, the negative log-likelihood of the whole answer, or null
    where it is no number; tokens; bytes of UTF-8; reason, why it could not be read, else empty.
    """
    found = {"nll_nats": None, "tokens": 0, "bytes": 0, "reason": ""}
    messages = formats.answered(problem.messages, problem.reference)
    try:
        ids, parts = spans.tokenise(desk.tokenizer, {"messages": messages})
        example = Example(tuple(ids), tuple(parts), problem.family)
        total = answer_nats(desk.runtime.logits(ids), example)
    except (RejectedError, InputError) as error:
        return header(problem) | found | {"reason": str(error)}
    return header(problem) | {
        "nll_nats": round(total, 6) if math.isfinite(total) else None,
        "tokens": example.num_answer_tokens,
        "bytes": num_bytes(example, desk.tokenizer),
        "reason": "",
    }


def answer_nats(logits_TV: np.ndarray, example: Example) -> float:
    """Return the negative log-likelihood of an answer's tokens; row t predicts ids[t + 1]."""
    total = 0.0
    for start, end in example.places():
        logs_AV = log_softmax(logits_TV[start - 1 : end - 1])
        total -= float(logs_AV[np.arange(end - start), list(example.ids[start:end])].sum())
    return total


def log_softmax(logits_AV: np.ndarray) -> np.ndarray:
    """Return float64 log-probabilities; what is no number stays none, without a warning."""
    with np.errstate(invalid="ignore", divide="ignore"):
        shifted_AV = logits_AV.astype(np.float64) - logits_AV.max(axis=1, keepdims=True)
        logs_AV: np.ndarray = shifted_AV - np.log(np.exp(shifted_AV).sum(axis=1, keepdims=True))
    return logs_AV


def readable(rows: Sequence[Row], key: str) -> list[Row]:
    """Return the rows that could be read, each with a finite number.

    Raises:
        NothingMeasuredError: more than MAX_LEFT_OUT could not be read, or one has no number.
    """
    unread = [row for row in rows if row["reason"]]
    if len(unread) > MAX_LEFT_OUT * len(rows):
        reason = f"{len(unread)} of {len(rows)} references cannot be read: {unread[0]['reason']}"
        raise NothingMeasuredError(reason)
    read = [row for row in rows if not row["reason"]]
    broken = sum(row[key] is None for row in read)
    if broken:
        raise NothingMeasuredError(f"{broken} of {len(rows)} answers have no finite {key}")
    return read


def measures(rows: Sequence[Row]) -> Measured:
    """Return perplexity and bits a byte, with the tokens and bytes that they are of.

    Raises:
        NothingMeasuredError: more than MAX_LEFT_OUT of the references could not be read, or one
            has no finite likelihood, or none that a perplexity can be made of.
    """
    read = readable(rows, "nll_nats")
    nats, families = [row["nll_nats"] for row in read], [row["family"] for row in read]
    token = statistics.cluster_ratio(nats, [row["tokens"] for row in read], families)
    byte = statistics.cluster_ratio(
        [value / math.log(2) for value in nats], [row["bytes"] for row in read], families
    )
    if token.high > _MOST_NATS:
        raise NothingMeasuredError(f"{token.value:.3g} nats a token: the perplexity is no number")
    value, low, high = (math.exp(end) for end in token[:3])
    notes = {
        "tokens": sum(row["tokens"] for row in read),
        "bytes": sum(row["bytes"] for row in read),
        "left_out": len(rows) - len(read),
    }
    return Measured(
        {"perplexity": Interval(value, low, high, len(read)), "bits_per_byte": byte}, notes
    )
