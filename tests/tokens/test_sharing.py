"""Answers to one prompt in one line are the rows one by one: states, losses, gradients, passes."""

import random
from dataclasses import replace

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
from potstill.tokens import examples, sharing
from potstill.tokens.examples import Example

CPU = torch.device("cpu")


def answers(prompts, seed=0, most=9):
    """Return rows of answers to prompts: (tokens of the prompt, its answers), mixed up."""
    draw = random.Random(seed)
    found = []
    for tokens, count in prompts:
        prompt = [draw.randrange(100) for _ in range(tokens)]
        for _ in range(count):
            own = [draw.randrange(100) for _ in range(draw.randint(1, most))]
            ids = (*prompt, *own)
            log_probs = tuple(-draw.random() for _ in own)
            found.append(Example(ids, ((tokens, len(ids), 1.0),), "g", log_probs=log_probs))
    draw.shuffle(found)
    return found


def alone(rows):
    """Return the same rows as nobody's answers, which share nothing."""
    return [replace(row, log_probs=()) for row in rows]


MIXED = [(12, 4), (5, 1), (7, 3), (1, 2)]


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "mistral"])
def test_states_at_the_answers_are_those_of_rows_alone(family, tiny_checkpoint):
    model = load.causal_lm(tiny_checkpoint(family), torch.float32, CPU)
    rows = answers(MIXED)
    batch = sharing.collate(rows)
    assert len(batch.ids_BT) == 4
    with torch.no_grad():
        got = batch.predicting(model.model(**batch.inputs).last_hidden_state)
        begin = 0
        for row in rows:
            (span,) = row.spans
            whole = model.model(torch.tensor([row.ids]), use_cache=False).last_hidden_state[0]
            want = whole[span[0] - 1 : span[1] - 1]
            assert torch.allclose(got[begin : begin + len(want)], want, atol=1e-5)
            begin += len(want)
    assert batch.answers_N.tolist() == [i for row in rows for i in row.ids[row.spans[0][0] :]]


def test_loss_and_gradient_are_those_of_rows_alone(tiny_llama, tiny_checkpoint, tmp_path):
    live.write(tmp_path / "live", caching.describe(tiny_llama, codec=LIVE, k=0, seed=0))
    teacher = source.open_source(tmp_path / "live", torch.float32, CPU)
    model = load.trainable(tiny_llama, CPU)
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.05)
    loss = Loss(Objective("reverse_kl", alpha=0.0), teacher)
    found = []
    for rows in (answers(MIXED), alone(answers(MIXED))):
        model.zero_grad()
        sums = training.batch_loss(model, rows, loss, torch.float32)
        sums.loss.backward()
        found.append((sums.loss.item(), [weight.grad.clone() for weight in model.parameters()]))
    (shared, slopes), (single, singles) = found
    assert shared == pytest.approx(single, rel=1e-5)
    for ours, others in zip(slopes, singles, strict=True):
        assert (ours - others).norm() <= 1e-5 * others.norm()


def test_rows_that_nobody_sampled_are_the_batch_that_they_always_were():
    rows = alone(answers(MIXED))
    batch = sharing.collate(rows)
    ids_BT, answer_BT = examples.collate(rows)
    assert torch.equal(batch.ids_BT, ids_BT)
    assert batch.inputs.keys() == {"input_ids", "use_cache"}
    hidden_BTD = torch.randn(*ids_BT.shape, 3)
    assert torch.equal(batch.predicting(hidden_BTD), examples.predicting(hidden_BTD, answer_BT))
    assert torch.equal(batch.answers_N, ids_BT[:, 1:][answer_BT[:, 1:]])


def test_a_row_of_several_spans_and_a_row_twice():
    row = Example(tuple(range(9)), ((2, 4, 1.0), (6, 9, 2.0)), "g")
    batch = sharing.collate([row, row])
    assert batch.answers_N.tolist() == [2, 3, 6, 7, 8] * 2
    assert batch.before_N.tolist() == [1, 2, 5, 6, 7, 10, 11, 14, 15, 16]


def test_an_answer_sees_its_prompt_and_itself():
    rows = answers([(3, 2)], most=2)
    batch = sharing.collate(rows)
    for number, row in enumerate(rows):
        places = (
            batch.before_N[: len(row.ids) - 3]
            if number == 0
            else batch.before_N[-(len(row.ids) - 3) :]
        )
        for place in places.tolist():
            seen = batch.mask_B1TT[0, 0, place].nonzero()[:, 0]
            assert batch.ids_BT[0, seen].tolist() == list(row.ids[: len(seen)])
            assert batch.position_BT[0, seen].tolist() == list(range(len(seen)))


@given(
    prompts=st.lists(st.tuples(st.integers(1, 20), st.integers(1, 5)), min_size=1, max_size=8),
    tokens=st.integers(1, 100),
    seed=st.integers(0, 99),
)
def test_passes_hold_every_row_once_and_few_tokens(prompts, tokens, seed):
    rows = answers(prompts, seed)
    for some in (rows, alone(rows)):
        groups = sharing.passes(some, tokens)
        assert sorted(row.ids for group in groups for row in group) == sorted(r.ids for r in some)
        for group in groups:
            assert len(group) == 1 or sharing.num_tokens(group) <= tokens
            assert sharing.num_tokens(group) == sharing.collate(group).ids_BT.numel()
        whole = [line for line in sharing.lines(some) if sharing.length(line) <= tokens]
        parts = [line for group in groups for line in sharing.lines(group)]
        assert all(
            sorted(r.ids for r in line) in [sorted(r.ids for r in p) for p in parts]
            for line in whole
        )


def test_a_line_that_a_pass_cannot_hold_is_read_in_parts():
    rows = answers([(10, 6)], most=9)
    groups = sharing.passes(rows, 30)
    assert len(groups) > 1
    assert all(sharing.num_tokens(group) <= 30 for group in groups)
