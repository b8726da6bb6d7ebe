"""Attention of runs equals torch's own under the mask that says the same, with its gradients."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from potstill.loading import attention
from potstill.loading.attention import Run
from torch.nn import functional

FOREST = [Run(0, 7), Run(7, 8, ((0, 4),)), Run(8, 12, ((0, 4), (7, 8))), Run(12, 15)]
SHAPES = [(1, 1, 4), (3, 3, 8), (9, 3, 6), (8, 1, 4)]


def heads(H, G, D, dtype, T=15, seed=0):
    generator = torch.Generator().manual_seed(seed)
    made = [torch.randn(n, T, D, generator=generator, dtype=torch.float64) for n in (H, G, G)]
    return [x.to(dtype).requires_grad_() for x in made]


def mask(runs, T=15):
    """Return who sees whom, token by token, by the definition."""
    seen = torch.zeros(T, T, dtype=torch.bool)
    for run in runs:
        chain = [at for begin, end in run.before for at in range(begin, end)]
        for place in range(run.begin, run.end):
            chain.append(place)
            seen[place, chain] = True
    return seen


def reference(query, key, value, scale, seen):
    made = functional.scaled_dot_product_attention(
        query[None], key[None], value[None], attn_mask=seen, scale=scale, enable_gqa=True
    )
    return made[0].transpose(0, 1)


@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_those_of_torch_in_float64(shape):
    ours, theirs = heads(*shape, torch.float64), heads(*shape, torch.float64)
    made = attention.attend(*ours, FOREST, 0.3)
    expected = reference(*theirs, 0.3, mask(FOREST))
    torch.testing.assert_close(made, expected)
    slope = torch.randn(made.shape, dtype=torch.float64)
    made.backward(slope)
    expected.backward(slope)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5), data=st.data())
def test_any_forest_of_runs(lengths, data):
    runs, chains, begin = [], [[]], 0
    for length in lengths:  # each goes on from some token that is there
        chain = data.draw(st.sampled_from(chains))
        shared = data.draw(st.integers(0, len(chain)))
        before = tuple((at, at + 1) for at in chain[:shared])
        runs.append(Run(begin, begin + length, before))
        chains.append([*chain[:shared], *range(begin, begin + length)])
        begin += length
    given_ = [x.detach() for x in heads(2, 1, 3, torch.float64, T=begin)]
    made = attention.attend(*given_, runs, 0.5)
    torch.testing.assert_close(made, reference(*given_, 0.5, mask(runs, begin)))


def test_what_a_run_does_not_see_changes_nothing_in_it():
    query, key, value = (x.detach() for x in heads(4, 2, 4, torch.float64))
    first = attention.attend(query, key, value, FOREST, 0.5)
    for changed in (query, value):
        changed[:, 4:7] += 7.0  # the end of the first run: others share its first four tokens
    second = attention.attend(query, key, value, FOREST, 0.5)
    assert torch.equal(first[:4], second[:4])
    assert torch.equal(first[7:], second[7:])
    assert not torch.allclose(first[4:7], second[4:7])


def test_keys_that_share_a_large_part_cost_no_precision():
    """Rounded scores of such keys would differ from each other by the rounding alone."""
    query, key, value = (x.detach() for x in heads(4, 2, 16, torch.float32))
    key = key + 200.0
    exact = reference(query.double(), key.double(), value.double(), 0.25, mask(FOREST))
    moved = (query.bfloat16(), key - key.mean(1, keepdim=True), value.bfloat16())
    rounded = attention.attend(moved[0], moved[1].bfloat16(), moved[2], FOREST, 0.25)
    torch.testing.assert_close(rounded.double(), exact, atol=0.1, rtol=0)


@pytest.mark.parametrize(
    ("change", "own"), [({}, True), ({"runs": None}, False), ({"dropout": 0.1}, False)]
)
def test_calls_without_runs_are_torchs(monkeypatch, change, own):
    called = []
    real = attention.attend
    monkeypatch.setattr(attention, "attend", lambda *a: called.append(1) or real(*a))
    given_ = [x.detach()[None] for x in heads(2, 1, 4, torch.bfloat16)]
    module = torch.nn.Module()
    module.num_key_value_groups = 2
    how = {"runs": FOREST, "dropout": 0.0} | change
    out, _ = attention._forward(module, *given_, mask(FOREST)[None, None], **how)
    assert bool(called) is own
    assert out.shape == (1, 15, 2, 4)
