"""One parity contract for every format: does the artefact compute what its checkpoint computes?

The same token ids go into the artefact's own runtime and into the checkpoint in float32. Exact
equality of tokens is out of reach at near ties (runtimes quantise activations, keep caches in
float16, break ties their own way), so the gate counts a different choice as agreement when the
reference itself puts it within a small margin. What must be equal is equal or fails: the ids of the
runtime's own tokenizer, the chat template, the stop ids.

Dimensions: T tokens of one text, V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from potstill import files, statistics
from potstill import runtime as runtimes
from potstill.models.chat import ChatTokenizer
from potstill.params import Section
from potstill.runtime.base import Runtime

Logits = Callable[[Sequence[int]], np.ndarray]  # ids -> float32 [T, V]


class Settings(Section):
    """How much is compared and what still counts as the same model: `export.common.parity`."""

    texts: Annotated[int, Field(ge=1)]  # held-out rows that both sides read, token by token
    greedy_prompts: Annotated[int, Field(ge=0)]  # of them continued greedily
    greedy_tokens: Annotated[int, Field(ge=1)]
    max_length: Annotated[int, Field(ge=2)]  # a text is cut to this many tokens
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


def first_divergence(
    runtime: Runtime, reference: Logits, prompt: Sequence[int], tokens: int, margin: float
) -> int:
    """Return how many greedy tokens pass before the reference would have chosen otherwise.

    A choice within the margin is no divergence; `tokens` where there is none.
    """
    made = list(runtime.stream(prompt, max_tokens=tokens))
    if not made:
        return tokens
    want = reference([*prompt, *made])[len(prompt) - 1 : -1]
    gap = want.max(axis=1) - want[np.arange(len(made)), made]
    apart = np.flatnonzero(gap > margin)
    return int(apart[0]) if len(apart) else tokens


def check(
    artefact: Path, checkpoint: Path, dataset: Path, settings: Settings
) -> dict[str, float | str]:
    """Load an artefact and its checkpoint and compare them on held-out rows; see `compare`.

    Raises:
        MissingPackageError: the runtime of the artefact's format is not installed.
    """
    from potstill.models import load

    original = ChatTokenizer(checkpoint)
    rows = list(islice(files.read_jsonl(dataset / "heldout.jsonl", ["messages"]), settings.texts))
    texts = [original.render(row["messages"], add_generation_prompt=False) for row in rows]
    prompts = [original.render(row["messages"][:-1]) for row in rows[: settings.greedy_prompts]]
    model = runtimes.load(artefact, threads=settings.threads, context=settings.context)
    try:
        reference = load.reference_logits(checkpoint, settings.threads)
        own = ChatTokenizer(artefact)
        return compare(model, own, reference, original, texts, prompts, settings)
    finally:
        model.close()


def compare(
    runtime: Runtime,
    artefact: ChatTokenizer,
    reference: Logits,
    checkpoint: ChatTokenizer,
    texts: Sequence[str],
    prompts: Sequence[str],
    settings: Settings,
) -> dict[str, float | str]:
    """Compare an artefact with its checkpoint and return flat metrics with a verdict.

    Args:
        runtime: the loaded artefact.
        artefact: tokenizer and template inside the artefact.
        reference: the checkpoint's logits in float32.
        checkpoint: tokenizer and template of the checkpoint.
        texts: rendered chats, read token by token.
        prompts: rendered prompts, continued greedily.
        settings: how long, and what still counts as the same model.
    """
    encoded = [checkpoint.encode(text) for text in texts]
    tokens_equal = sum(
        runtime.tokenize(text) == ids for text, ids in zip(texts, encoded, strict=True)
    )
    found = [
        compare_text(ids, runtime.logits(ids), reference(ids), settings.margin_logits)
        for ids in (ids[: settings.max_length] for ids in encoded)
    ]
    metrics = _rates(found)
    apart = [
        first_divergence(
            runtime,
            reference,
            checkpoint.encode(text),
            settings.greedy_tokens,
            settings.margin_logits,
        )
        for text in prompts
    ]
    metrics |= {
        "tokenizer_equal_share": tokens_equal / len(texts),
        "n_texts": len(texts),
        "greedy_equal_tokens_mean": float(np.mean(apart)) if apart else 0.0,
        "greedy_prompts": len(apart),
    }
    reasons = _reasons(metrics, settings)
    if runtime.stop_ids != checkpoint.stop_ids:
        reasons.append(f"stops at {sorted(runtime.stop_ids)}, not {sorted(checkpoint.stop_ids)}")
    if artefact.template != checkpoint.template:
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
