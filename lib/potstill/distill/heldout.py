"""Held-out likelihood with its interval: the first thing a distilled student has to improve."""

import math

import torch

from potstill import statistics
from potstill.distill.examples import Example
from potstill.distill.training import row_nlls
from potstill.models.load import CausalLM


def measure(
    model: CausalLM,
    rows: list[Example],
    *,
    batch_rows: int,
    dtype: torch.dtype,
) -> dict[str, float]:
    """Return the mean negative log-likelihood of held-out answers, its interval and perplexity.

    Rows of one group (a kata family, a module) are alike, so the 95 % interval resamples groups.

    Returns:
        heldout_nll_nats (nats a token) with _low and _high, heldout_perplexity with _low and
        _high, heldout_rows, heldout_tokens, heldout_groups.
    """
    nlls = row_nlls(model, rows, batch_rows=batch_rows, dtype=dtype)
    sums, tokens = zip(*(nlls[row.key] for row in rows), strict=True)
    mean = statistics.cluster_ratio(sums, tokens, [row.group for row in rows])
    values = {
        "heldout_nll_nats": mean.value,
        "heldout_nll_nats_low": mean.low,
        "heldout_nll_nats_high": mean.high,
        "heldout_perplexity": math.exp(mean.value),
        "heldout_perplexity_low": math.exp(mean.low),
        "heldout_perplexity_high": math.exp(mean.high),
        "heldout_rows": len(rows),
        "heldout_tokens": sum(tokens),
        "heldout_groups": len({row.group for row in rows}),
    }
    return {key: round(float(value), 6) for key, value in values.items()}
