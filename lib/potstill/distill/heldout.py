"""Held-out likelihood with its interval: the first thing a distilled student has to improve."""

import math
from collections.abc import Sequence
from typing import Any

import torch

from potstill import statistics
from potstill.distill.training import row_nlls
from potstill.loading.load import CausalLM
from potstill.tokens.examples import Example


def measure(
    model: CausalLM,
    rows: Sequence[Example],
    *,
    batch_rows: int,
    dtype: torch.dtype,
) -> list[dict[str, Any]]:
    """Return what a model makes of each held-out answer, in the rows' order.

    Keys: id (equal where the token ids are, so models that share a tokenizer can be paired), group,
    nll_nats (negative log-likelihood of the whole answer), tokens.
    """
    nlls = row_nlls(model, rows, batch_rows=batch_rows, dtype=dtype)
    found = []
    for row in rows:
        total, tokens = nlls[row.key]
        found.append(
            {"id": row.key, "group": row.group, "nll_nats": round(total, 6), "tokens": tokens}
        )
    return found


def nll(rows: list[dict[str, Any]]) -> statistics.Interval:
    """Return the mean negative log-likelihood in nats a token.

    Rows of one group (a kata family, a module) are alike, so the 95 % interval resamples groups.
    """
    sums, tokens, groups = ([row[key] for row in rows] for key in ("nll_nats", "tokens", "group"))
    return statistics.cluster_ratio(sums, tokens, groups)


def summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return flat metrics of measured rows.

    Returns:
        heldout_nll_nats (nats a token) with _low and _high, heldout_perplexity with _low and
        _high, heldout_rows, heldout_tokens, heldout_groups.
    """
    mean = nll(rows)
    values = {
        "heldout_nll_nats": mean.value,
        "heldout_nll_nats_low": mean.low,
        "heldout_nll_nats_high": mean.high,
        "heldout_perplexity": math.exp(mean.value),
        "heldout_perplexity_low": math.exp(mean.low),
        "heldout_perplexity_high": math.exp(mean.high),
        "heldout_rows": len(rows),
        "heldout_tokens": sum(row["tokens"] for row in rows),
        "heldout_groups": len({row["group"] for row in rows}),
    }
    return {key: round(float(value), 6) for key, value in values.items()}
