"""Preferences: the published formula, its limits, a chunked head, and a training on pairs."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from potstill.distill import training
from potstill.distill.objective import Objective
from potstill.distill.preference import Preference, answer_log_likelihoods, preference_loss
from potstill.distill.training import Loss
from potstill.errors import InputError
from potstill.loading.head import token_nlls
from potstill.models.chat import ChatTokenizer
from potstill.tokens import table
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from tests.distill.references import draw, exact_norm
from tests.distill.runs import KilledError, dies, measures, schedule, weights_of
from tests.stages.conftest import chat, pair

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


@pytest.fixture
def pairs(tiny_llama, tmp_path):
    """Eight pairs as a table has them, and one whose chosen answer was too long."""
    rows = [row for n in range(9) for row in pair(n)][1:]
    tokenizer = ChatTokenizer(tiny_llama)
    table.write(tmp_path / "pairs.arrow", rows, tokenizer, 128)
    return table.open(tmp_path / "pairs.arrow", tokenizer)


def prepared(model, pairs, scratch, beta=0.2):
    scratch.mkdir(exist_ok=True)
    preference, rejected = Preference(beta, chunk_tokens=16).of(pairs)
    said = preference.ask(model, rejected, torch.float32, scratch)
    preference = replace(preference, reference=said)
    return Loss(Objective("cross_entropy"), preference=preference), rejected


def learn(model, pairs, scratch, evaluate=lambda _: 1.25, **changes):
    loss, rejected = prepared(model, pairs, scratch)
    plan = schedule(**{"evaluate_every": 1, "learning_rate": 1e-3} | changes)
    how = {"dtype": torch.float32, "scratch": scratch, "evaluate": measures(evaluate)}
    return training.train(model, rejected, loss, plan, **how), weights_of(model)


def likelihood(model, row):
    """The log-likelihood of one answer in float64, without batch, padding or chunks."""
    start = row.spans[0][0]
    scores = torch.log_softmax(model(torch.tensor([row.ids])).logits[0, start - 1 : -1], -1)
    return scores[range(len(row.ids) - start), list(row.ids[start:])].sum()


def test_loss_and_gradient_are_those_of_pairs_one_by_one_and_finite_differences(
    model, pairs, tmp_path, monkeypatch
):
    """In float64 but for the sums of an answer, which are float32 here and not in the reference."""
    monkeypatch.setattr(LlamaRMSNorm, "forward", exact_norm)
    model.model.embed_tokens.padding_idx = None  # its row, which rows read, gets no gradient
    model.double()
    reference = copy.deepcopy(model).requires_grad_(requires_grad=False)
    loss, rejected = prepared(model, pairs, tmp_path / "s")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            torch.manual_seed(len(name))
            weight.add_(0.02 * torch.randn_like(weight))
    assert len(rejected) == 8
    assert all(row.format == "rejected" for row in rejected)

    def one_by_one():
        total = 0.0
        for row in rejected:
            chosen = loss.preference.both([row])[1]
            assert chosen.format == "chosen"
            assert chosen.ids[: chosen.spans[0][0]] == row.ids[: row.spans[0][0]]
            mine, start = (likelihood(m, chosen) - likelihood(m, row) for m in (model, reference))
            total = total - torch.nn.functional.logsigmoid(0.2 * (mine - start))
        return total

    found = training.batch_loss(model, rejected, loss, torch.float64)
    found.loss.backward()
    with torch.no_grad():
        assert found.loss.item() == pytest.approx(one_by_one().item(), rel=1e-5)
        assert abs(found.loss.item() / 8 - math.log(2)) > 1e-2
        for part in ("embed", "layers.0", "layers.1", "norm", ""):
            torch.manual_seed(len(part))
            weights = [p for name, p in model.named_parameters() if part in name]
            directions = [torch.randn_like(p) for p in weights]
            length = sum(d.square().sum() for d in directions).sqrt()
            ends = []
            for shift in (1e-4, -2e-4, 1e-4):  # there, to the other side, and back
                for weight, direction in zip(weights, directions, strict=True):
                    weight.add_(shift / length * direction)
                ends.append(one_by_one())
            slope = (ends[0] - ends[1]) / 2e-4
            terms = zip(weights, directions, strict=True)
            want = sum((weight.grad * direction).sum() for weight, direction in terms) / length
            assert slope.item() == pytest.approx(want.item(), rel=1e-4, abs=1e-6), part
            assert abs(slope) > 1e-3, part


def test_training_prefers_what_passed_and_begins_at_the_reference(model, pairs, tmp_path):
    history, _ = learn(model, pairs, tmp_path / "s", steps=12)
    first, last = history[0], history[-1]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert first["margin"] == pytest.approx(0, abs=1e-4)
    assert last["loss"] < 0.8 * first["loss"]
    assert last["margin"] > 0.2
    assert last["correct"] == 1
    assert "divergence" not in first


def test_several_passes_equal_one(model, pairs, tmp_path):
    other = copy.deepcopy(model)
    how = {"steps": 2, "batch_rows": 8, "checkpoint_every": 0}
    big, whole = learn(model, pairs, tmp_path / "a", **how, pass_tokens=4096)
    small, parts = learn(other, pairs, tmp_path / "b", **how, pass_tokens=1)
    assert small[1]["loss"] == pytest.approx(big[1]["loss"], rel=1e-4)
    assert all(torch.allclose(parts[name], whole[name], atol=1e-4) for name in whole)


def test_a_killed_training_goes_on_to_the_same_bytes(model, pairs, tmp_path):
    other, fresh = copy.deepcopy(model), copy.deepcopy(model)
    history, whole = learn(model, pairs, tmp_path / "whole")
    with pytest.raises(KilledError):
        learn(other, pairs, tmp_path / "cut", dies(4))
    again, weights = learn(fresh, pairs, tmp_path / "cut")
    assert again == history
    assert all(torch.equal(weights[name], whole[name]) for name in whole)


def test_without_a_pair_nothing_is_trained(tiny_llama, tmp_path):
    tokenizer = ChatTokenizer(tiny_llama)
    rows = [pair(1)[0], pair(2)[1]]
    table.write(tmp_path / "pairs.arrow", rows, tokenizer, 128)
    with pytest.raises(InputError, match="no pair is left"):
        Preference(0.1, 16).of(table.open(tmp_path / "pairs.arrow", tokenizer))
    table.write(tmp_path / "rows.arrow", [chat(1)], tokenizer, 128)
    with pytest.raises(InputError, match=r"none of 1 rows has .*'chosen'"):
        Preference(0.1, 16).of(table.open(tmp_path / "rows.arrow", tokenizer))
