"""Held-out likelihood against torch's own."""

import pytest
import torch
from potstill.distill import heldout
from potstill.loading import load
from potstill.tokens.examples import Example

ROWS = [
    Example((5, 9, 14, 3, 8), ((2, 5, 1.0),), "a"),
    Example((7, 7, 30), ((1, 3, 1.0),), "b"),
    Example((11, 4, 9, 60, 2, 44, 8), ((3, 7, 1.0),), "c"),
    Example((5, 9, 14, 3, 9), ((2, 5, 1.0),), "a"),
]


def test_heldout_likelihood_equals_torch_and_has_an_interval(tiny_llama):
    model = load.causal_lm(tiny_llama, torch.float32, torch.device("cpu"))
    rows = heldout.measure(model, ROWS, batch_rows=3, dtype=torch.float32)
    measured = heldout.summary(rows)
    assert [(row["id"], row["group"]) for row in rows] == [(row.key, row.group) for row in ROWS]
    total = 0.0
    for row in ROWS:
        start = row.spans[0][0]
        with torch.inference_mode():
            logits = model(torch.tensor([row.ids])).logits[0, start - 1 : -1]
        labels = torch.tensor(row.ids[start:])
        total += torch.nn.functional.cross_entropy(logits, labels, reduction="sum").item()
    tokens = sum(row.num_answer_tokens for row in ROWS)
    assert measured["heldout_nll_nats"] == pytest.approx(total / tokens, rel=1e-4)
    low, high = measured["heldout_nll_nats_low"], measured["heldout_nll_nats_high"]
    assert low < measured["heldout_nll_nats"] < high
    assert measured["heldout_groups"] == 3
