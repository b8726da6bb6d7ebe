"""Attention by three products equals torch's own and its gradients; nothing sees ahead."""

import pytest
import torch
from potstill.loading import attention
from torch.nn import functional

SHAPES = [(1, 1, 1, 1, 4), (2, 3, 3, 5, 8), (3, 9, 3, 17, 6), (2, 8, 1, 33, 4)]


def heads(B, H, G, T, D, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sizes = ((B, H, T, D), (B, G, T, D), (B, G, T, D))
    made = [torch.randn(size, generator=generator, dtype=torch.float64) for size in sizes]
    return [x.to(dtype).requires_grad_() for x in made]


def reference(query, key, value, scale):
    return functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=scale, enable_gqa=True
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_those_of_torch_in_float64(shape):
    ours, theirs = heads(*shape, torch.float64), heads(*shape, torch.float64)
    made = attention.causal_attention(*ours, 0.3, torch.float64)
    expected = reference(*theirs, 0.3)
    torch.testing.assert_close(made, expected)
    slope = torch.randn(made.shape, dtype=torch.float64)
    made.backward(slope)
    expected.backward(slope)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_what_comes_later_changes_nothing_before_it():
    query, key, value = (x.detach() for x in heads(2, 4, 2, 9, 4, torch.float64))
    first = attention.causal_attention(query, key, value, 0.5, torch.float64)
    for changed in (query, key, value):
        changed[:, :, 6:] += 7.0
    second = attention.causal_attention(query, key, value, 0.5, torch.float64)
    torch.testing.assert_close(first[:, :, :6], second[:, :, :6])
    assert not torch.allclose(first[:, :, 6:], second[:, :, 6:])


def test_keys_that_share_a_large_part_cost_no_precision():
    """Rounded scores of such keys would differ from each other by the rounding alone."""
    query, key, value = (x.detach() for x in heads(2, 4, 2, 31, 16, torch.float32))
    key = key + 200.0
    exact = reference(query.double(), key.double(), value.double(), 0.25)
    found = attention.causal_attention(query, key, value, 0.25, torch.bfloat16).double()
    torch.testing.assert_close(found, exact, atol=0.1, rtol=0)


@pytest.mark.parametrize(
    ("change", "own"),
    [
        ({}, True),
        ({"dtype": torch.float32}, False),
        ({"tokens": attention.MAX_TOKENS + 1}, False),
        ({"mask": True}, False),
        ({"dropout": 0.1}, False),
        ({"is_causal": False}, False),
    ],
)
def test_only_short_unpadded_causal_rows_in_bfloat16_are_taken(monkeypatch, change, own):
    called = []
    real = attention.causal_attention
    monkeypatch.setattr(attention, "causal_attention", lambda *a: called.append(1) or real(*a))
    tokens = change.get("tokens", 6)
    query, key, value = (
        x.detach() for x in heads(1, 2, 1, tokens, 4, change.get("dtype", torch.bfloat16))
    )
    module = torch.nn.Module()
    module.num_key_value_groups = 2
    mask = torch.ones(1, 1, tokens, tokens, dtype=torch.bool).tril() if "mask" in change else None
    out, _ = attention._forward(
        module,
        query,
        key,
        value,
        mask,
        dropout=change.get("dropout", 0.0),
        is_causal=change.get("is_causal"),
    )
    assert bool(called) is own
    assert out.shape == (1, tokens, 2, 4)
