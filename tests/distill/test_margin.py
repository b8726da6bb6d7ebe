"""Correcting a teacher towards the labels: definition, limits, whole and truncated alike."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from potstill.distill.objectives.margin import correct, correct_top
from potstill.logits.dense import Dense

from tests.distill.references import N, V, draw, exact_top, measured

TEACHER, STUDENT = draw(N, V, seed=1), draw(N, V, seed=2)
LABELS = torch.cat([TEACHER[:4].argmax(-1), torch.arange(N - 4) * 7])  # 4 are right


def lead(p_NV, labels):
    label = p_NV.gather(1, labels[:, None])
    return (label - p_NV.scatter(1, labels[:, None], -1.0).amax(-1, keepdim=True)).squeeze(1)


def log_p(logits):
    return torch.log_softmax(logits, -1)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 0.999), st.floats(0.01, 60))
def test_the_label_leads_by_the_margin_and_the_others_keep_their_proportions(seed, margin, scale):
    logits = draw(N, V, seed=seed, scale=scale)
    before = log_p(logits).exp()
    after = correct(log_p(logits), LABELS, margin).exp()
    assert torch.allclose(after.sum(-1), torch.ones(N, dtype=torch.float64))
    enough = lead(before, LABELS) >= margin
    assert torch.allclose(after[enough], before[enough])
    expected = torch.full((N,), margin, dtype=torch.float64)
    assert torch.allclose(lead(after, LABELS)[~enough], expected[~enough], atol=1e-9)
    others = torch.ones(N, V, dtype=torch.bool).scatter_(1, LABELS[:, None], value=False)
    share = after[others].view(N, -1) / after[others].view(N, -1).sum(-1, keepdim=True)
    same = before[others].view(N, -1) / before[others].view(N, -1).sum(-1, keepdim=True)
    assert torch.allclose(share, same, rtol=1e-6)


@pytest.mark.parametrize("k", [V, 20, 5, 2, 1])
def test_top_tokens_become_a_distribution_in_which_the_label_leads(k):
    top, margin = exact_top(TEACHER, k), 0.3
    after = correct_top(top, LABELS, margin)
    assert torch.allclose(
        after.log_probs_NK.exp().sum(-1) + after.log_tail_N.exp(),
        torch.ones(N, dtype=torch.float64),
    )
    assert all(len(set(ids.tolist())) == k for ids in after.ids_NK)
    for n in range(N):
        place = after.ids_NK[n].tolist().index(LABELS[n])
        p = after.log_probs_NK[n].exp()
        others = torch.cat([p[:place], p[place + 1 :]])
        # a wrong top id that gave way to the label (k = 1) is in the tail
        largest = others.max() if len(others) else p.new_zeros(())
        assert p[place] - largest >= margin - 1e-12


@pytest.mark.parametrize("k", [V, V - 1, 20])
def test_a_kept_label_is_corrected_as_in_the_whole_distribution(k):
    top, whole = exact_top(TEACHER, k), correct(log_p(TEACHER), LABELS, 0.3)
    after = correct_top(top, LABELS, 0.3)
    kept = (top.ids_NK == LABELS[:, None]).any(-1)
    assert kept[:4].all()
    assert torch.equal(after.ids_NK[kept], top.ids_NK[kept])
    assert torch.allclose(after.log_probs_NK[kept], whole.gather(1, top.ids_NK)[kept])


def test_a_label_that_was_not_kept_takes_the_least_probable_place():
    top = exact_top(TEACHER, 5)
    missing = ~(top.ids_NK == LABELS[:, None]).any(-1)
    assert missing.any()
    after = correct_top(top, LABELS, 0.3)
    assert torch.equal(after.ids_NK[missing][:, :4], top.ids_NK[missing][:, :4])
    assert torch.equal(after.ids_NK[missing][:, 4], LABELS[missing])
    whole = correct(log_p(TEACHER), LABELS, 0.3).gather(1, LABELS[:, None]).squeeze(1)
    got = after.log_probs_NK[:, 4]
    off = (whole.exp() - got.exp())[missing]  # the teacher's own probability of it, taken as 0
    assert (off.abs() <= top.log_probs_NK[missing][:, 4].exp()).all()


def test_the_teachers_own_tensors_are_left_alone():
    top, logits = exact_top(TEACHER, 5), TEACHER.clone()
    before = [field.clone() for field in vars(top).values()]
    measured(STUDENT, top, LABELS, margin=0.4)
    measured(STUDENT, Dense(logits), LABELS, margin=0.4)
    assert all(map(torch.equal, before, vars(top).values()))
    assert torch.equal(logits, TEACHER)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_student_that_equals_the_corrected_teacher_has_no_divergence(temperature):
    target = correct(log_p(TEACHER), LABELS, 0.3)
    for signal in (Dense(TEACHER), exact_top(TEACHER, V)):
        how = {"margin": 0.3, "temperature": temperature}
        assert measured(target, signal, LABELS, **how).max().item() < 1e-12
        assert measured(TEACHER, signal, LABELS, **how)[4:].min().item() > 1e-3


def test_a_teacher_that_is_certain_is_finite():
    certain = torch.full((2, V), -200.0)
    certain[:, 3] = 200.0
    labels = torch.tensor([3, 8])
    for signal in (Dense(certain), exact_top(certain, 4), exact_top(certain, 1)):
        assert torch.isfinite(measured(torch.zeros(2, V), signal, labels, margin=0.2)).all()
