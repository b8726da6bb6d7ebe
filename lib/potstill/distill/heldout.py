"""Held-out likelihood with its interval: the first thing a distilled student has to improve."""

import math
from typing import Any

import numpy as np
import torch

from potstill.distill.examples import Example
from potstill.distill.training import row_nlls

RESAMPLES = 2000


def measure(
    model: Any,  # noqa: ANN401 - a transformers model; its classes are untyped here
    rows: list[Example],
    *,
    batch_rows: int,
    dtype: torch.dtype,
    prefix: str = "",
) -> dict[str, float]:
    """Return the mean negative log-likelihood of held-out answers, its interval and perplexity.

    Rows of one group (a kata family, a module) are alike, so the 95 % interval is a percentile
    bootstrap over groups, with a fixed seed.

    Returns:
        heldout_nll_nats (nats a token) with _low and _high, heldout_perplexity with _low and
        _high, heldout_rows, heldout_tokens, heldout_groups; every key after `prefix`.
    """
    nlls = row_nlls(model, rows, batch_rows=batch_rows, dtype=dtype)
    groups = sorted({row.group for row in rows})
    index = {group: number for number, group in enumerate(groups)}
    sums, counts = np.zeros(len(groups)), np.zeros(len(groups))
    for row in rows:
        nll, tokens = nlls[row.key]
        sums[index[row.group]] += nll
        counts[index[row.group]] += tokens
    draws = np.random.default_rng(0).integers(len(groups), size=(RESAMPLES, len(groups)))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    middle = sums.sum() / counts.sum()
    values = {
        "heldout_nll_nats": middle,
        "heldout_nll_nats_low": low,
        "heldout_nll_nats_high": high,
        "heldout_perplexity": math.exp(middle),
        "heldout_perplexity_low": math.exp(low),
        "heldout_perplexity_high": math.exp(high),
        "heldout_rows": len(rows),
        "heldout_tokens": int(counts.sum()),
        "heldout_groups": len(groups),
    }
    return {prefix + key: round(float(value), 6) for key, value in values.items()}
