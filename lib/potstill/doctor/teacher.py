"""What the teacher says: is it of these rows and tokens, a distribution, and worth following."""

from collections.abc import Iterator

import torch

from potstill import statistics
from potstill.doctor.finding import Finding, judged
from potstill.doctor.patient import Patient
from potstill.errors import InputError
from potstill.logits.sampled import Sampled
from potstill.logits.store import LogitStore

ROUNDING_NATS = 1e-3  # by which float16 and bfloat16 let a divergence of 0 come out below
MASS_ERROR = 0.01  # by which what is stored with its rest may miss 1
LEAST_KEPT = 0.9  # mean share of the distribution that is stored


def signal(patient: Patient) -> Finding:
    """Hash what is stored of the signal, and read it for the rows."""
    if patient.loss is None:
        return Finding("signal", "fail", patient.complaint)
    if patient.loss.source is None:
        return Finding("signal", "not-run", "labels alone: no teacher is asked")
    try:
        if isinstance(patient.loss.source, LogitStore):
            patient.loss.source.verify()
        patient.loss.source.require(patient.all_rows)
        found = patient.tokens
    except InputError as error:
        return Finding("signal", "fail", str(error))
    names = ", ".join(patient.loss.source.names)
    words = f"{names} has all {len(patient.all_rows)} rows, and was made for this tokenizer"
    return Finding("signal", "pass", words, {"tokens": float(len(found.student_nll))})


def shift(patient: Patient) -> Finding:
    """Move the signal by a token: it must fit the labels best where it is."""
    moved = patient.tokens.shifted_log_p
    assert moved is not None
    best = max(moved, key=lambda offset: moved[offset])
    told = ", ".join(f"{-value:.2f} at {offset:+d}" for offset, value in sorted(moved.items()))
    return judged(
        "shift",
        best == 0,
        f"nats a label by the teacher when its word is moved by a token: {told}",
        "its distributions are of other places than the labels: `dvc repro --force cache_logits`",
        **{f"nats_{offset:+d}": -value for offset, value in moved.items()},
    )


def divergence(patient: Patient) -> Finding:
    """Take the divergence of each token: none is below 0, and each distribution adds up to 1.

    What the objective gives is normalised before; of top tokens the divergence is therefore taken
    of what is stored, as it is.
    """
    found = patient.tokens.divergence
    assert found is not None
    mean = found.mean().item()
    plain = patient.tokens.plain_kl
    plain = found if plain is None else plain
    lowest, mass = plain.min().item(), patient.tokens.mass
    is_sound = bool(torch.isfinite(found).all()) and lowest > -ROUNDING_NATS
    is_sound = is_sound and (mass is None or bool((mass - 1).abs().max() < MASS_ERROR))
    return judged(
        "divergence",
        is_sound,
        f"{patient.recipe.objective} from the teacher is {mean:.3f} nats a token, at least "
        f"{lowest:.4f}",
        "what is stored is no distribution: `dvc repro --force cache_logits`",
        mean_nats=mean,
        lowest_nats=lowest,
    )


def kept_mass(patient: Patient) -> Iterator[Finding]:
    """Add up what was stored of each distribution; nothing to say of one that is whole or drawn."""
    found = patient.tokens.kept_mass
    if found is not None:
        mean = found.mean().item()
        yield judged(
            "kept mass",
            mean >= LEAST_KEPT,
            f"of the teacher's distribution {mean:.1%} is stored",
            "the rest teaches as one token: raise cache_logits.k",
            mean=mean,
        )


def better(patient: Patient) -> Finding:
    """Compare teacher and start on the labels; who knows less teaches nothing.

    By top tokens both are asked of the same outcomes; a margin has corrected the teacher before.
    """
    found = patient.tokens
    assert found.teacher_log_p is not None
    assert patient.loss is not None
    assert patient.loss.source is not None
    if patient.loss.source.signal is Sampled:
        return Finding("teacher", "not-run", "drawn ids tell too little of a label's probability")
    groups = [row.group for row in patient.rows_by_length]
    each = [groups[row] for row in found.rows.tolist()]
    gap = (-found.teacher_log_p - found.student_nll).tolist()
    interval = statistics.cluster_mean(gap, each)
    words = (
        f"the teacher is {-interval.value:.2f} nats a label better than the start "
        f"({-interval.high:.2f} to {-interval.low:.2f})"
    )
    return judged(
        "teacher",
        interval.high < 0,
        words,
        "take a better teacher, adapt it (adapt_teacher), or train on labels alone (alpha 1)",
        nats=-interval.value,
        low_nats=-interval.high,
        high_nats=-interval.low,
    )
