"""Likelihood of answers that were not trained on: the first thing a student has to improve.

It is computed in float32 whatever the training multiplies in, so that two runs differ by their
models alone. Nats a token compare models that share a tokenizer; bits a byte compare all:

    nats of the trained tokens / ln 2 / bytes of UTF-8 of the trained text

The tokens that end an answer are no text: their nats count, their bytes do not.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch

from potstill import statistics
from potstill.loading.head import token_nlls
from potstill.loading.load import CausalLM
from potstill.models.chat import ChatTokenizer
from potstill.tokens import examples, packing
from potstill.tokens.examples import Example, num_bytes


def measure(
    model: CausalLM, rows: Sequence[Example], chat: ChatTokenizer, *, batch_rows: int
) -> list[dict[str, Any]]:
    """Return what a model with float32 weights makes of each row's answer, in the rows' order.

    Keys: id (equal where the token ids are, so models that share a tokenizer can be paired), group,
    nll_nats (negative log-likelihood of the whole answer), tokens, bytes.
    """
    nlls = row_nlls(model, rows, batch_rows=batch_rows)
    found = []
    for row in rows:
        total, tokens = nlls[row.key]
        found.append(
            {
                "id": row.key,
                "group": row.group,
                "nll_nats": round(total, 6),
                "tokens": tokens,
                "bytes": num_bytes(row, chat),
            }
        )
    return found


def row_nlls(
    model: CausalLM, rows: Sequence[Example], *, batch_rows: int
) -> dict[str, tuple[float, int]]:
    """Return example key -> (negative log-likelihood of its answer in nats, answer tokens)."""
    device = next(model.parameters()).device
    found = {}
    model.eval()
    for batch in examples.by_length(rows, batch_rows):
        line = packing.pack(batch, device)
        with torch.inference_mode():
            hidden_ND = line.predicting(model.model(**line.inputs).last_hidden_state)
            nll_N = token_nlls(hidden_ND, model.lm_head, line.answers_N)
        sizes = [row.num_answer_tokens for row in batch]
        for row, part in zip(batch, nll_N.split(sizes), strict=True):
            found[row.key] = (part.double().sum().item(), row.num_answer_tokens)
    return found


def nll(rows: list[dict[str, Any]]) -> statistics.Interval:
    """Return the mean negative log-likelihood in nats a token.

    Rows of one group (a kata family, a module) are alike, so the 95 % interval resamples groups.
    """
    sums, tokens, groups = ([row[key] for row in rows] for key in ("nll_nats", "tokens", "group"))
    return statistics.cluster_ratio(sums, tokens, groups)


def bits_per_byte(rows: list[dict[str, Any]]) -> statistics.Interval:
    """Return the mean negative log-likelihood in bits a byte; its interval resamples groups."""
    bits = [row["nll_nats"] / math.log(2) for row in rows]
    return statistics.cluster_ratio(
        bits, [row["bytes"] for row in rows], [row["group"] for row in rows]
    )


def summary(rows: list[dict[str, Any]], split: str) -> dict[str, float]:
    """Return flat metrics of the measured rows of a split.

    Returns:
        <split>_nll_nats (nats a token), <split>_perplexity and <split>_bits_per_byte, each with
        _low and _high; <split>_rows, <split>_tokens, <split>_bytes, <split>_groups.
    """
    mean, bits = nll(rows), bits_per_byte(rows)
    values = {
        "nll_nats": mean.value,
        "nll_nats_low": mean.low,
        "nll_nats_high": mean.high,
        "perplexity": math.exp(mean.value),
        "perplexity_low": math.exp(mean.low),
        "perplexity_high": math.exp(mean.high),
        "bits_per_byte": bits.value,
        "bits_per_byte_low": bits.low,
        "bits_per_byte_high": bits.high,
        "rows": len(rows),
        "tokens": sum(row["tokens"] for row in rows),
        "bytes": sum(row["bytes"] for row in rows),
        "groups": len({row["group"] for row in rows}),
    }
    return {f"{split}_{key}": round(float(value), 6) for key, value in values.items()}
