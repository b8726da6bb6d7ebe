"""One answer a problem, compared in words with the reference: corpus BLEU and chrF.

Both are sacrebleu's, 0 to 100, of all answers together. The numbers before the steps are taken off
both sides: they would agree whatever the steps say. A likeness of words is not a likeness of sense,
and there is one reference: compare artefacts by it, and read no quality out of it.
"""

from collections.abc import Sequence

import numpy as np
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from potstill.evaluate import replies, scoring
from potstill.evaluate.grader import ending, header
from potstill.evaluate.methods import Measured, Quotient, Row
from potstill.evaluate.scoring import Desk
from potstill.runtime import Answer
from potstill.statistics import RESAMPLES, Interval
from potstill.tasks import Problem

MEASURE = "chrf"  # of texts of a dozen words BLEU is mostly smoothing
FLAGS = ("hit_limit", "repeats")
PARTS = ()
UNITS = {"bleu": "of 100", "chrf": "of 100"}
QUOTIENTS: dict[str, Quotient] = {}


def rows(desk: Desk, problems: Sequence[Problem]) -> list[Row]:
    """Return a row for each answer; see `judge`."""
    return scoring.ask(desk, problems, judge)


def judge(problem: Problem, sample: int, answer: Answer) -> Row:
    """Return an answer with its reference, each in one line as they are compared."""
    return {
        **header(problem, sample),
        **ending(answer),
        "answer": replies.without_numbers(answer.text),
        "reference": replies.without_numbers(problem.reference),
    }


def measures(rows: Sequence[Row]) -> Measured:
    """Return BLEU and chrF of the corpus with sacrebleu's signatures; families are resampled."""
    values, notes = {}, {}
    for name, metric in (("bleu", BLEU()), ("chrf", CHRF())):
        values[name] = _score(metric, rows)
        notes[f"{name}.signature"] = str(metric.get_signature())
    return Measured(values, notes)


def _score(metric: BLEU | CHRF, rows: Sequence[Row]) -> Interval:
    """Return a corpus score with a percentile bootstrap over families.

    The score follows from counts that add up over answers, as in sacrebleu's own bootstrap, which
    resamples answers.
    """
    said, wanted = [row["answer"] for row in rows], [row["reference"] for row in rows]
    counts = np.asarray(metric._extract_corpus_statistics(said, [wanted]), dtype=np.int64)
    names, index = np.unique([row["family"] for row in rows], return_inverse=True)
    by_family = np.zeros((len(names), counts.shape[1]), np.int64)
    np.add.at(by_family, index, counts)
    draws = np.random.default_rng(0).integers(len(names), size=(RESAMPLES, len(names)))
    scores = [
        metric._compute_score_from_stats(by_family[drawn].sum(axis=0).tolist()).score
        for drawn in draws
    ]
    whole = metric._compute_score_from_stats(by_family.sum(axis=0).tolist()).score
    low, high = np.percentile(scores, [2.5, 97.5])
    return Interval(float(whole), float(low), float(high), len(rows))
