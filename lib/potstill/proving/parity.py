"""One parity contract for every format: does the artefact compute what its checkpoint computes?

The same token ids go into the artefact's own runtime as went into the checkpoint in float32 (see
`reference`). Exact equality of tokens is out of reach at near ties (runtimes quantise activations,
keep caches in float16, break ties their own way), so the gate counts a different choice as
agreement when the reference itself puts it within a small margin. What must be equal is equal or
fails: the ids of the runtime's own tokenizer, the chat template, the stop ids.

Dimensions: T tokens of one text, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from potstill import runtime as runtimes
from potstill import statistics
from potstill.errors import InputError
from potstill.models.chat import ChatTokenizer
from potstill.params import Section
from potstill.proving import reference
from potstill.proving.reference import Answer, Reference
from potstill.runtime import Request, Runtime, artifact


class Settings(Section):
    """What still counts as the same model: `export.common.parity`."""

    margin_logits: Annotated[float, Field(ge=0)]  # a choice within this gap of the best is a tie
    min_agreement: Annotated[float, Field(ge=0, le=1)]  # share of positions, ties included
    max_kl_nats: Annotated[float, Field(ge=0)]  # mean KL(reference || artefact)
    max_nll_difference_nats: Annotated[float, Field(ge=0)]  # |difference| of the mean
    context: Annotated[int, Field(ge=64)]
    threads: Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class TextParity:
    """Sums over the positions of one text."""

    positions: int
    top1: int
    agreed: int
    kl: float
    nll: float
    reference_nll: float


def compare_text(
    ids: Sequence[int], got_TV: np.ndarray, want_TV: np.ndarray, margin: float
) -> TextParity:
    """Compare the logits of one text; row t predicts ids[t + 1], the last row predicts nothing.

    Only the vocabulary of the reference counts: a runtime may pad its own with unused rows.
    """
    got = _log_softmax(got_TV[:-1, : want_TV.shape[1]])
    want = _log_softmax(want_TV[:-1])
    rows, labels = np.arange(len(want)), np.asarray(ids[1:])
    best, choice = want.argmax(axis=1), got.argmax(axis=1)
    gap = want[rows, best] - want[rows, choice]
    return TextParity(
        positions=len(want),
        top1=int((best == choice).sum()),
        agreed=int((gap <= margin).sum()),
        kl=float((np.exp(want) * (want - got)).sum()),
        nll=float(-got[rows, labels].sum()),
        reference_nll=float(-want[rows, labels].sum()),
    )


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def equal_share(runtime: Runtime, answer: Answer, stop_ids: frozenset[int]) -> float:
    """Return the share of a greedy answer that the artefact gives before it differs, 0 to 1.

    Ties count as differences here: what follows another token cannot be compared any more.
    """
    ended = answer.ids[-1] in stop_ids
    seen = answer.ids[:-1] if ended else answer.ids  # a runtime does not show the stop id
    (found,) = runtime.generate([Request(answer.prompt, max_tokens=len(answer.ids))])
    made = found.ids
    pairs = zip(made, seen, strict=False)
    equal = len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
    if ended and equal == len(seen) == len(made):
        equal += 1
    return equal / len(answer.ids)


def check(artefact: Path, recorded: Path, settings: Settings) -> dict[str, float | str]:
    """Load an artefact and compare it with its checkpoint's recorded behaviour; see `compare`.

    Raises:
        InputError: the record is of another checkpoint, missing or damaged.
        MissingPackageError: the runtime of the artefact's format is not installed.
    """
    want = reference.read(recorded)
    if artifact.read(artefact)["checkpoint_sha256"] != want.checkpoint_sha256:
        raise InputError(
            f"{recorded} is not of the checkpoint that {artefact} was made from: run "
            "`dvc repro record_reference`"
        )
    model = runtimes.load(artefact, threads=settings.threads, context=settings.context)
    try:
        return compare(model, ChatTokenizer(artefact).template, want, settings)
    finally:
        model.close()


def compare(
    runtime: Runtime, template: str, want: Reference, settings: Settings
) -> dict[str, float | str]:
    """Compare an artefact with its checkpoint and return flat metrics with a verdict.

    Args:
        runtime: the loaded artefact.
        template: the artefact's chat template.
        want: what the checkpoint computes.
        settings: what still counts as the same model.
    """
    tokens_equal = sum(runtime.tokenize(text.text) == text.ids for text in want.texts)
    found = []
    for text in want.texts:
        read = text.ids[: len(text.logits_TV)]
        got = runtime.logits(read)
        found.append(compare_text(read, got, text.logits_TV, settings.margin_logits))
    shares = [equal_share(runtime, answer, want.stop_ids) for answer in want.answers]
    metrics = _rates(found) | {
        "tokenizer_equal_share": tokens_equal / len(want.texts),
        "n_texts": len(want.texts),
        "greedy_equal_share": float(np.mean(shares)) if shares else 0.0,
        "greedy_prompts": len(shares),
    }
    reasons = _reasons(metrics, settings)
    if runtime.stop_ids != want.stop_ids:
        reasons.append(f"stops at {sorted(runtime.stop_ids)}, not {sorted(want.stop_ids)}")
    if template != want.template:
        reasons.append("its chat template is not the checkpoint's")
    rounded = {key: round(value, 6) for key, value in metrics.items()}
    return {**rounded, "verdict": "fail" if reasons else "pass", "reason": "; ".join(reasons)}


def _rates(found: Sequence[TextParity]) -> dict[str, float]:
    counts, names = [text.positions for text in found], [str(i) for i in range(len(found))]
    metrics: dict[str, float] = {"n_tokens": sum(counts)}
    for name, values in (
        ("top1_agreement", [text.top1 for text in found]),
        ("agreement", [text.agreed for text in found]),
        ("kl_mean_nats", [text.kl for text in found]),
        ("nll_nats", [text.nll for text in found]),
        ("nll_difference_nats", [text.nll - text.reference_nll for text in found]),
    ):
        rate = statistics.cluster_ratio(values, counts, names)
        metrics |= {name: rate.value, f"{name}_low": rate.low, f"{name}_high": rate.high}
    return metrics


def _reasons(metrics: dict[str, float], limits: Settings) -> list[str]:
    """Return what fails; a value that is not a number fails its bound."""
    checks = (
        ("agreement", metrics["agreement"] >= limits.min_agreement, limits.min_agreement),
        ("kl_mean_nats", metrics["kl_mean_nats"] <= limits.max_kl_nats, limits.max_kl_nats),
        (
            "nll_difference_nats",
            abs(metrics["nll_difference_nats"]) <= limits.max_nll_difference_nats,
            limits.max_nll_difference_nats,
        ),
        ("tokenizer_equal_share", metrics["tokenizer_equal_share"] == 1, 1),
    )
    return [f"{name} is {metrics[name]:.4g}, limit {limit}" for name, ok, limit in checks if not ok]
