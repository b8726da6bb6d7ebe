"""Zeros by three ways: as many as asked for, where the papers say, and made up for."""

import itertools

import numpy as np
import pytest
import torch
from potstill.compress import sparse
from potstill.compress.recipe import Sparse
from potstill.compress.second_order import error
from potstill.errors import InputError
from potstill.params import build

from tests.compress.test_gptq import matrix

WAYS = ["magnitude", "wanda", "sparsegpt"]


def settings(**changes):
    return Sparse(**({"kind": "sparse", "share": 0.5, "way": "magnitude"} | changes))


def product(columns, seed=0):
    """Of inputs that go together, have a mean, and are of different sizes."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(900, 9, generator=generator) @ torch.randn(9, columns, generator=generator)
    inputs += 0.5 * torch.randn(900, columns, generator=generator) + 0.3
    inputs *= torch.rand(columns, generator=generator) * 3 + 0.1
    return inputs.T @ inputs / len(inputs)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.65])
@pytest.mark.parametrize("way", WAYS)
def test_so_many_weights_are_zero(way, share):
    weight = torch.from_numpy(matrix(rows=8, columns=300))
    made = sparse.cut(weight, product(300), settings(way=way, share=share))
    assert (made == 0).float().mean().item() == pytest.approx(share, abs=0.01)
    if way == "wanda":
        assert (made == 0).sum(1).unique().tolist() == [round(300 * share)]
    if way != "sparsegpt":
        kept = made != 0
        assert torch.equal(made[kept], weight[kept])


@pytest.mark.parametrize("way", WAYS)
def test_two_of_each_four(way):
    weight = torch.from_numpy(matrix(rows=5, columns=256))
    made = sparse.cut(weight, product(256), settings(way=way, of_four=True))
    assert ((made == 0).unflatten(-1, (-1, 4)).sum(-1) == 2).all()


def test_scores_are_what_the_papers_say():
    weight, squares = torch.from_numpy(matrix(rows=3, columns=32)), product(32)
    made = sparse.cut(weight, squares, settings(way="wanda"))
    for row, found in zip(weight.numpy(), made.numpy(), strict=True):
        score = np.abs(row) * np.sqrt(np.diag(squares.numpy()))
        assert set(np.flatnonzero(found == 0)) == set(np.argsort(score, kind="stable")[:16])
    made = sparse.cut(weight, squares, settings(share=0.25)).numpy()
    smallest = np.argsort(np.abs(weight.numpy()).ravel(), kind="stable")[:24]
    assert set(np.flatnonzero(made.ravel() == 0)) == set(smallest)


@pytest.mark.parametrize("of_four", [False, True])
def test_each_way_loses_less_than_the_one_before(of_four):
    weight, squares = torch.from_numpy(matrix(rows=16, columns=256)), product(256)
    lost = [
        error(weight, sparse.cut(weight, squares, settings(way=way, of_four=of_four)), squares)
        for way in WAYS
    ]
    assert lost == sorted(lost, reverse=True)
    assert lost[2] < 0.5 * lost[1]


def test_what_is_left_makes_up_as_well_as_can_be():
    """One column goes: the others are then what least squares makes of them."""
    weight, squares = torch.from_numpy(matrix(rows=1, columns=12)), product(12)
    made = sparse.cut(weight, squares, settings(way="sparsegpt", share=0.05, damping=1e-9))
    assert (made == 0).sum() == 1
    gone = int((made == 0).nonzero()[0, 1])
    best = []
    for column in range(12):
        others = [n for n in range(12) if n != column]
        solved = torch.linalg.solve(
            squares[others][:, others].double(), (squares[others] @ weight[0]).double()
        )
        other = torch.zeros_like(weight)
        other[0, others] = solved.float()
        best.append(error(weight, other, squares))
    # those before it in its row are done already, so only a first column is made up for by all
    assert error(weight, made, squares) >= 0.999 * min(best)
    assert best[gone] <= sorted(best)[5]


def test_two_of_four_are_half():
    tree = {"a": {"kind": "sparse", "share": 0.6, "way": "wanda", "of_four": True}}
    with pytest.raises(InputError, match=r"of_four sets two of four to zero, share is 0\.6"):
        build(Sparse, tree, "a")


def test_ways_are_apart():
    weight, squares = torch.from_numpy(matrix(rows=8, columns=64)), product(64)
    made = [sparse.cut(weight, squares, settings(way=way)) for way in WAYS]
    assert not any(torch.equal(one, other) for one, other in itertools.combinations(made, 2))
