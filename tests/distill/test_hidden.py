"""Losses on hidden states: limits, gradients, shapes that do not fit."""

import pytest
import torch
from potstill.distill.hidden import Projections, hidden_loss, layer_map
from potstill.errors import InputError

from tests.distill.references import draw

N, D, E = 6, 5, 8
TEACHER = [draw(N, E, seed=n) for n in (1, 2)]


def states(seed=3, width=E):
    return [draw(N, width, seed=seed + n).requires_grad_() for n in range(2)]


@pytest.mark.parametrize("distance", ["cosine", "relative_mse"])
def test_equal_states_cost_nothing_and_others_do(distance):
    assert hidden_loss(TEACHER, TEACHER, distance=distance).item() == pytest.approx(0, abs=1e-12)
    assert hidden_loss(states(), TEACHER, distance=distance).item() > 1


def test_cosine_is_half_the_distance_of_directions_and_ignores_lengths():
    mine = states()
    unit = [[x / x.norm(dim=-1, keepdim=True) for x in side] for side in (mine, TEACHER)]
    want = sum(((a - b) ** 2).sum() for a, b in zip(*unit, strict=True)) / 2 / 2
    got = hidden_loss(mine, TEACHER, distance="cosine")
    assert got.item() == pytest.approx(want.item())
    longer = hidden_loss([3 * x for x in mine], TEACHER, distance="cosine")
    assert longer.item() == pytest.approx(got.item())


def test_relative_mse_is_one_for_a_silent_student_whatever_the_teachers_length():
    silent = [torch.zeros(N, E, dtype=torch.float64)] * 2
    for scale in (1.0, 1000.0):
        teacher = [scale * x for x in TEACHER]
        assert hidden_loss(silent, teacher, distance="relative_mse").item() == pytest.approx(N)


@pytest.mark.parametrize("distance", ["cosine", "relative_mse"])
def test_gradients_are_finite_differences_and_reach_a_learned_map_only(distance):
    learned = Projections(2, D, E, learned=True).double()
    mine = states(width=D)
    weights = torch.rand(N, dtype=torch.float64)

    def loss(*both):
        return hidden_loss(both, TEACHER, distance=distance, projections=learned, weights_N=weights)

    assert torch.autograd.gradcheck(loss, mine)
    loss(*mine).backward()
    assert all((p.grad.abs() > 0).any() for p in learned.parameters())
    assert not any(p.requires_grad for p in Projections(2, D, E, learned=False).parameters())


def test_weights_weigh_tokens_and_none_is_ones():
    mine, weights = states(), torch.tensor([0.0, 2.0, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    one = hidden_loss([x[1:2] for x in mine], [x[1:2] for x in TEACHER], distance="cosine")
    assert hidden_loss(mine, TEACHER, distance="cosine", weights_N=weights).item() == pytest.approx(
        2 * one.item()
    )
    ones = torch.ones(N, dtype=torch.float64)
    assert hidden_loss(mine, TEACHER, distance="cosine", weights_N=ones).item() == pytest.approx(
        hidden_loss(mine, TEACHER, distance="cosine").item()
    )


def test_maps_begin_without_distortion():
    same = Projections(1, E, E, learned=True).double()
    assert torch.equal(same(0, TEACHER[0]), TEACHER[0])
    wider = Projections(1, D, E, learned=False).double()
    mine = draw(N, D)
    assert torch.allclose(wider(0, mine).norm(dim=-1), mine.norm(dim=-1), rtol=1e-5)


def test_layers_are_spread_evenly_and_the_last_meets_the_last():
    assert layer_map(3, 12) == [(1, 4), (2, 8), (3, 12)]
    assert layer_map(4, 4) == [(n, n) for n in range(1, 5)]
    for pairs in (layer_map(7, 30), layer_map(26, 30)):
        teachers = [teacher for _, teacher in pairs]
        assert teachers == sorted(set(teachers))
        assert teachers[-1] == 30
    with pytest.raises(InputError, match="state the pairs"):
        layer_map(5, 4)


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(InputError, match="did you mean cosine"):
        hidden_loss(states(), TEACHER, distance="cosin")
    with pytest.raises(InputError, match="give pairs"):
        hidden_loss(states()[:1], TEACHER, distance="cosine")
    with pytest.raises(InputError, match="give projections"):
        hidden_loss(states(width=D), TEACHER, distance="cosine")
