"""Rows in one line are the rows one by one: states, losses, gradients; passes hold them all."""

import itertools
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from potstill.distill import training
from potstill.distill.objective import Objective
from potstill.distill.training import Loss
from potstill.loading import load
from potstill.logits import caching, live, source
from potstill.logits.store import LIVE
from potstill.tokens import packing
from potstill.tokens.examples import Example

from tests.tiny_models import CASES

CPU = torch.device("cpu")


def answers(prompts, seed=0, most=9, system=10):
    """Return rows of answers to prompts: (tokens of the prompt, its answers), mixed up.

    All prompts begin with the same ids.
    """
    draw = random.Random(seed)
    begin = [draw.randrange(100) for _ in range(system)]
    found = []
    for tokens, count in prompts:
        prompt = [*begin, *(draw.randrange(100) for _ in range(tokens))]
        for _ in range(count):
            own = [draw.randrange(100) for _ in range(draw.randint(1, most))]
            ids = (*prompt, *own)
            found.append(Example(ids, ((len(prompt), len(ids), 1.0),), "g"))
    draw.shuffle(found)
    return found


MIXED = [(12, 4), (5, 1), (7, 3), (1, 2)]


@pytest.mark.parametrize("with_mask", [False, True])
@pytest.mark.parametrize("family", CASES)
def test_states_at_the_answers_are_those_of_rows_alone(family, with_mask, tiny_checkpoint):
    model = load.causal_lm(tiny_checkpoint(family), torch.float32, CPU)
    rows = answers(MIXED)
    line = packing.pack([*rows, rows[2]])
    inputs = line.inputs
    if with_mask:  # as where our own attention does not run
        del inputs["runs"]
    with torch.no_grad():
        got = line.predicting(model.model(**inputs).last_hidden_state)
        want = [
            model.model(torch.tensor([row.ids]), use_cache=False).last_hidden_state[0][
                row.spans[0][0] - 1 : -1
            ]
            for row in (*rows, rows[2])
        ]
    assert torch.allclose(got, torch.cat(want), atol=1e-5)
    assert line.ids_1T.numel() < sum(len(row.ids) for row in rows)
    assert line.answers_N.tolist() == [
        i for row in (*rows, rows[2]) for i in row.ids[row.spans[0][0] :]
    ]


def test_loss_and_gradient_are_those_of_rows_alone(tiny_llama, tmp_path):
    live.write(tmp_path / "live", caching.describe(tiny_llama, codec=LIVE, k=0, seed=0))
    teacher = source.open_source(tmp_path / "live", torch.float32, CPU)
    model = load.trainable(tiny_llama, CPU)
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.05)
    loss = Loss(Objective("reverse_kl", alpha=0.0), teacher)
    rows, found = answers(MIXED), []
    for parts in ([rows], [[row] for row in rows]):
        model.zero_grad()
        total = 0.0
        for part in parts:
            sums = training.batch_loss(model, part, loss, torch.float32)
            sums.loss.backward()
            total += sums.loss.item()
        found.append((total, [weight.grad.clone() for weight in model.parameters()]))
    (together, slopes), (single, singles) = found
    assert together == pytest.approx(single, rel=1e-5)
    for ours, others in zip(slopes, singles, strict=True):
        assert (ours - others).norm() <= 1e-5 * others.norm()


def test_a_row_of_several_spans_and_a_row_twice():
    row = Example(tuple(range(9)), ((2, 4, 1.0), (6, 9, 2.0)), "g")
    line = packing.pack([row, row])
    assert line.answers_N.tolist() == [2, 3, 6, 7, 8] * 2
    assert line.before_N.tolist() == [1, 2, 5, 6, 7] * 2
    assert line.ids_1T.tolist() == [list(range(9))]


def test_a_long_row_is_read_in_pieces(monkeypatch, tiny_llama):
    model = load.causal_lm(tiny_llama, torch.float32, CPU)
    rows = answers(MIXED)
    whole = packing.pack(rows)
    monkeypatch.setattr(packing, "MOST", 3)
    pieces = packing.pack(rows)
    assert max(run.end - run.begin for run in pieces.runs) == 3
    assert torch.equal(whole.inputs["attention_mask"], pieces.inputs["attention_mask"])
    with torch.no_grad():
        one, other = (
            line.predicting(model.model(**line.inputs).last_hidden_state)
            for line in (whole, pieces)
        )
    assert torch.allclose(one, other, atol=1e-5)


def test_few_tokens_alike_are_read_again():
    rows = [
        Example((*range(shared), 50 + number), ((shared, shared + 1, 1.0),), "g")
        for shared in (packing.LEAST - 1, packing.LEAST)
        for number in range(2)
    ]
    assert packing.num_tokens(rows[:2]) == 2 * packing.LEAST
    assert packing.num_tokens(rows[2:]) == packing.LEAST + 2


def test_each_token_sees_its_own_row():
    rows = answers(MIXED, most=3)
    line = packing.pack(rows)
    seen_TT = line.inputs["attention_mask"][0, 0]
    begin = 0
    for row in rows:
        for place in line.before_N[begin : begin + row.num_answer_tokens].tolist():
            seen = seen_TT[place].nonzero()[:, 0]
            places = sorted(seen.tolist(), key=line.position_1T[0].tolist().__getitem__)
            assert line.ids_1T[0, places].tolist() == list(row.ids[: len(seen)])
            assert line.position_1T[0, places].tolist() == list(range(len(seen)))
        begin += row.num_answer_tokens


PROMPTS = st.lists(st.tuples(st.integers(1, 20), st.integers(1, 5)), min_size=1, max_size=8)


@given(prompts=PROMPTS, tokens=st.integers(1, 100), seed=st.integers(0, 99))
def test_passes_hold_every_row_once_and_few_tokens(prompts, tokens, seed):
    rows = answers(prompts, seed)
    groups = packing.passes(rows, tokens)
    assert sorted(row.ids for group in groups for row in group) == sorted(r.ids for r in rows)
    for group in groups:
        assert len(group) == 1 or packing.num_tokens(group) <= tokens
        assert packing.num_tokens(group) == packing.pack(group).ids_1T.numel()
    for one, other in itertools.pairwise(groups):  # no pass had room for the next row
        assert packing.num_tokens([*one, other[0]]) > tokens


@given(prompts=PROMPTS, tokens=st.integers(1, 200), seed=st.integers(0, 99))
def test_passes_of_pairs_hold_both(prompts, tokens, seed):
    rows = answers(prompts, seed)
    chosen = {row.ids: Example((*row.ids[:-1], 101), row.spans, "g") for row in rows}
    groups = packing.passes(rows, tokens, lambda row: [row, chosen[row.ids]])
    assert sorted(row.ids for group in groups for row in group) == sorted(r.ids for r in rows)
    for group in groups:
        read = [*group, *(chosen[row.ids] for row in group)]
        assert len(group) == 1 or packing.num_tokens(read) <= tokens


@given(prompts=PROMPTS, count=st.integers(1, 5), seed=st.integers(0, 99))
def test_shares_are_whole_and_even(prompts, count, seed):
    rows = answers(prompts, seed)
    shares = packing.shares(rows, count)
    assert len(shares) == count
    assert [row.ids for share in shares for row in share] == sorted(row.ids for row in rows)
    sizes = [sum(len(row.ids) for row in share) for share in shares]
    longest = max(len(row.ids) for row in rows)
    assert max(sizes) - min(sizes) <= 2 * longest
