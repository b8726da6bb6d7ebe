"""Preferences: the published formula, its limits, and its way through a chunked head."""

import math

import pytest
import torch
from potstill.distill.preference import answer_log_likelihoods, preference_loss
from potstill.errors import InputError
from potstill.loading.head import token_nlls

from tests.distill.references import draw

P = 5
CHOSEN, REJECTED, OF_CHOSEN, OF_REJECTED = (draw(P, seed=n, scale=20.0) for n in range(4))


def test_the_loss_is_the_formula():
    got = preference_loss(CHOSEN, REJECTED, OF_CHOSEN, OF_REJECTED, beta=0.1)
    margins = 0.1 * ((CHOSEN - OF_CHOSEN) - (REJECTED - OF_REJECTED))
    assert got.loss.item() == pytest.approx(sum(math.log1p(math.exp(-m)) for m in margins))
    assert got.margin.item() == pytest.approx(margins.sum().item())
    assert got.correct.item() == sum(m > 0 for m in margins) not in (0, P)


def test_the_reference_itself_has_log_2_a_pair():
    got = preference_loss(OF_CHOSEN, OF_REJECTED, OF_CHOSEN, OF_REJECTED, beta=3.0)
    assert got.loss.item() == pytest.approx(P * math.log(2))
    assert got.correct.item() == 0


def test_gradients_are_finite_differences_and_none_reaches_the_reference():
    inputs = [x.clone().requires_grad_() for x in (CHOSEN, REJECTED)]
    assert torch.autograd.gradcheck(
        lambda c, r: preference_loss(c, r, OF_CHOSEN, OF_REJECTED, beta=0.3).loss, inputs
    )
    reference = OF_CHOSEN.clone().requires_grad_()
    preference_loss(*inputs, reference, OF_REJECTED, beta=0.3).loss.backward()
    assert reference.grad is None
    assert (inputs[0].grad <= 0).all()
    assert (inputs[1].grad >= 0).all()


def test_answers_far_apart_are_finite():
    far = torch.tensor([-5000.0, 5000.0], requires_grad=True)
    got = preference_loss(far, -far.detach(), torch.zeros(2), torch.zeros(2), beta=1.0)
    got.loss.backward()
    assert got.loss.item() == pytest.approx(10000)
    assert torch.isfinite(far.grad).all()


def test_a_step_along_the_gradient_through_a_chunked_head_prefers_the_chosen():
    torch.manual_seed(0)
    head, hidden = torch.nn.Linear(4, 30), torch.randn(9, 4)
    labels, sizes = torch.arange(9) * 3, [2, 4, 2, 1]  # answers: chosen, rejected, chosen, rejected

    def loss():
        found = answer_log_likelihoods(token_nlls(hidden, head, labels, chunk_tokens=2), sizes)
        return preference_loss(found[::2], found[1::2], *reference, beta=0.5)

    with torch.no_grad():
        found = answer_log_likelihoods(token_nlls(hidden, head, labels), sizes)
    want = torch.log_softmax(head(hidden), -1)[range(9), labels]
    assert found[1].item() == pytest.approx(want[2:6].sum().item(), rel=1e-5)
    reference = (found[::2], found[1::2])
    before = loss()
    before.loss.backward()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.sub_(0.01 * parameter.grad)
    after = loss()
    assert after.loss.item() < before.loss.item()
    assert after.margin.item() > before.margin.item()


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(InputError, match="above 0"):
        preference_loss(CHOSEN, REJECTED, OF_CHOSEN, OF_REJECTED, beta=0.0)
    with pytest.raises(InputError, match="not of the same pairs"):
        preference_loss(CHOSEN, REJECTED[:1], OF_CHOSEN, OF_REJECTED, beta=0.1)
    assert answer_log_likelihoods(torch.zeros(0), []).shape == (0,)
