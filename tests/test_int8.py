"""8-bit integers with a scale for each output, against their definition in float64."""

import pytest
import torch
from potstill import int8


def drawn(seed, rows=33, columns=65):
    """Rows of magnitudes from 1e-35 to 1e30, with zeros and single large values among them."""
    torch.manual_seed(seed)
    weight = torch.randn(rows, columns) * 10 ** torch.empty(rows, 1).uniform_(-35, 30)
    weight[torch.rand_like(weight) < 0.1] = 0
    weight[::5, 7] *= 1e3
    return weight


@pytest.mark.parametrize("seed", range(20))
def test_integers_are_the_nearest_to_a_scale_of_the_largest_over_127(seed):
    weight = drawn(seed)
    integer, scale = int8.integers(weight)
    want_scale = weight.double().abs().amax(1) / 127
    torch.testing.assert_close(scale.double(), want_scale, rtol=1e-7, atol=0)
    place = weight.double() / scale.double()[:, None]
    assert (integer.double() - place).abs().max() <= 0.5 + 1e-4
    assert integer.abs().amax(1).tolist() == [127] * len(weight)
    assert torch.equal(integer[weight == 0], torch.zeros_like(integer[weight == 0]))
    made = int8.rounded(weight)
    torch.testing.assert_close(made, integer * scale[:, None], rtol=0, atol=0)
    assert (made - weight).abs().amax(1).le(0.5001 * scale).all()


@pytest.mark.parametrize("seed", range(20))
def test_what_is_rounded_has_the_same_integers_again(seed):
    weight = drawn(seed)
    integer, scale = int8.integers(weight)
    again, other = int8.integers(int8.rounded(weight))
    assert torch.equal(integer, again)
    torch.testing.assert_close(scale, other, rtol=2**-23, atol=0)


@pytest.mark.parametrize("value", [0.0, 1e-45, -1e-40, 2e-38])
def test_rows_of_next_to_nothing_stay_finite(value):
    weight = torch.tensor([[value, 0.0, value / 2], [1.0, -0.5, 0.25]])
    made = int8.rounded(weight)
    assert made.isfinite().all()
    assert (made[0] - weight[0]).abs().max() <= 0.5 * int8.scales(weight)[0]
    assert int8.integers(weight)[0][1].tolist() == [127, -64, 32]


def test_the_gradient_passes_as_if_nothing_were_rounded():
    weight = drawn(0).requires_grad_()
    slope = torch.randn_like(weight)
    int8.rounded(weight).backward(slope)
    assert torch.equal(weight.grad, slope)
