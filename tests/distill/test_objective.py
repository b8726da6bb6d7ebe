"""A loss from hidden states: values and gradients against float64 autograd over all logits.

Not tested: speed and memory of real sizes (benchmarks.loss measures them).
"""

import copy

import pytest
import torch
from potstill.distill.head import fused
from potstill.distill.objective import Objective, Spoken
from potstill.loading.head import map_logits, token_nlls
from potstill.logits.dense import Dense
from potstill.logits.sampled import Sampled
from potstill.logits.topk import TopK, truncate
from torch.nn import functional

from tests.distill.references import D, N, V, draw, exact_top, outcome_divergence

TEACHER = draw(N, V, seed=1)
LABELS = torch.arange(N) * 5
WEIGHTS = torch.rand(N, generator=torch.Generator().manual_seed(8), dtype=torch.float64) + 0.5


def student(dtype=torch.float64, *, bias=True):
    hidden = draw(N, D, seed=3, scale=1.0).to(dtype).requires_grad_()
    torch.manual_seed(4)
    return hidden, torch.nn.Linear(D, V, bias=bias, dtype=torch.float64).to(dtype)


def gradients(hidden, head):
    return [hidden.grad, *(p.grad for p in head.parameters())]


def reference(name, alpha, temperature, k, weights=WEIGHTS):
    """The loss as a graph over all logits; returns (loss, ce, divergence) and the gradients."""
    hidden, head = student()
    logits = head(hidden)
    ce = weights @ functional.cross_entropy(logits, LABELS, reduction="none")
    div = sum(
        weights[n] * outcome_divergence(name, TEACHER[n : n + 1], logits[n : n + 1], k, temperature)
        for n in range(N)
    )
    loss = alpha * ce + (1 - alpha) * temperature**2 * div
    loss.backward()
    return (loss, ce, div), gradients(hidden, head)


SETTINGS = [
    ("forward_kl", 0.3, 1.0, 6),
    ("forward_kl", 0.3, 2.5, 6),
    ("forward_kl", 0.0, 2.0, V),
    ("reverse_kl", 0.5, 2.0, 6),
    ("jensen_shannon", 0.1, 3.0, 1),
]


@pytest.mark.parametrize("chunk", [1, 4, N, 100])
@pytest.mark.parametrize(("name", "alpha", "temperature", "k"), SETTINGS)
def test_values_and_gradients_are_those_of_a_graph_over_all_logits(
    name, alpha, temperature, k, chunk
):
    want, wanted = reference(name, alpha, temperature, k)
    signals = [exact_top(TEACHER, k)] + ([Dense(TEACHER)] if k == V else [])
    for signal in signals:
        hidden, head = student()
        objective = Objective(name, alpha, temperature, chunk_tokens=chunk)
        sums = objective(hidden, head, LABELS, signal, WEIGHTS)
        (sums.loss * 0.25).backward()
        assert torch.allclose(torch.stack([sums.loss, sums.cross_entropy, sums.divergence]),
                              torch.stack(want), rtol=1e-10)  # fmt: skip
        for got, expected in zip(gradients(hidden, head), wanted, strict=True):
            assert torch.allclose(got, expected * 0.25, rtol=1e-9, atol=1e-12)


class Again(torch.autograd.Function):
    """The gradients that a loss gives of itself; gradcheck asks for them several times."""

    @staticmethod
    def forward(ctx, loss, hidden, weight, bias):
        with torch.enable_grad():
            inputs = [x.detach().requires_grad_() for x in (hidden, weight, bias)]
            value = loss(*inputs)
            ctx.found = torch.autograd.grad(value, inputs)
        return value.detach()

    @staticmethod
    def backward(ctx, scale):
        return None, *(g * scale for g in ctx.found)


@pytest.mark.parametrize(
    ("kind", "margin"),
    [("top", None), ("top", 0.2), ("dense", None), ("dense", 0.2), ("sampled", None)],
)
def test_gradients_are_finite_differences(kind, margin):
    p = torch.softmax(TEACHER, -1).topk(4)
    signal = {
        "top": exact_top(TEACHER, 4),
        "dense": Dense(TEACHER),
        "sampled": Sampled(p.indices, p.values / p.values.sum(-1, keepdim=True)),
    }[kind]
    name, temperature = ("forward_kl", 1.0) if kind == "sampled" else ("jensen_shannon", 2.0)
    objective = Objective(name, 0.4, temperature, margin=margin, chunk_tokens=4)

    def loss(hidden, weight, bias):
        return objective(hidden, Bare(weight, bias), LABELS, signal, WEIGHTS).loss

    hidden, head = student()
    inputs = (hidden, head.weight, head.bias)
    assert torch.autograd.gradcheck(lambda *x: Again.apply(loss, *x), inputs)


class Bare:
    """A head whose weight and bias are the tensors given, not copies in parameters."""

    def __init__(self, weight, bias):
        self.weight, self.bias, self.out_features = weight, bias, len(weight)


def test_the_mix_is_alpha_ce_plus_t_squared_divergence():
    hidden, head = student(torch.float32)
    sums = Objective("forward_kl", 0.3, 2.0)(hidden, head, LABELS, truncate(TEACHER, 6))
    expected = 0.3 * sums.cross_entropy + 0.7 * 4.0 * sums.divergence
    assert sums.loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert not sums.cross_entropy.requires_grad
    assert not sums.divergence.requires_grad


@pytest.mark.parametrize("objective", [Objective("cross_entropy"), Objective(alpha=0.3)])
def test_without_a_teacher_the_loss_is_the_cross_entropy_of_torch(objective):
    hidden, head = student()
    sums = objective(hidden, head, LABELS)
    expected = functional.cross_entropy(head(hidden), LABELS, reduction="sum")
    assert sums.loss.item() == pytest.approx(expected.item(), rel=1e-12)
    assert sums.divergence.item() == 0


@pytest.mark.parametrize("frozen", ["head", "hidden"])
def test_what_is_frozen_gets_no_gradient_and_the_other_gets_its_own(frozen):
    objective = Objective(alpha=0.3, temperature=2.0, chunk_tokens=4)
    hidden, head = student()
    objective(hidden, head, LABELS, exact_top(TEACHER, 6)).loss.backward()
    want = gradients(hidden, head)
    hidden, head = student()
    for tensor in head.parameters() if frozen == "head" else [hidden]:
        tensor.requires_grad_(False)
    sums = objective(hidden, head, LABELS, exact_top(TEACHER, 6))
    held = sums.loss.grad_fn.gradients
    assert [g is None for g in held] == ([False, True, True] if frozen == "head" else [True] + [False] * 2)  # fmt: skip # noqa: E501
    sums.loss.backward()
    for got, expected in zip(gradients(hidden, head), want, strict=True):
        assert got is None or torch.equal(got, expected)


def test_without_gradients_nothing_is_kept_and_the_value_is_the_same():
    hidden, head = student()
    objective = Objective(alpha=0.3, chunk_tokens=4)
    with torch.no_grad():
        alone = objective(hidden, head, LABELS, exact_top(TEACHER, 6))
    assert alone.loss.grad_fn is None
    assert torch.equal(alone.loss, objective(hidden, head, LABELS, exact_top(TEACHER, 6)).loss)


def test_a_tied_weight_gets_the_gradients_of_both_its_uses():
    """Twice accumulated, against a graph over all logits."""
    torch.manual_seed(0)
    embedding = torch.nn.Embedding(V, D, dtype=torch.float64)
    head = torch.nn.Linear(D, V, bias=False, dtype=torch.float64)
    head.weight = embedding.weight
    objective = Objective("cross_entropy", chunk_tokens=4)
    for _ in range(2):
        objective(embedding(LABELS).tanh(), head, LABELS.flip(0)).loss.backward()
    got, embedding.weight.grad = embedding.weight.grad, None
    for _ in range(2):
        logits = head(embedding(LABELS).tanh())
        functional.cross_entropy(logits, LABELS.flip(0), reduction="sum").backward()
    assert torch.allclose(got, embedding.weight.grad, rtol=1e-10)


def test_a_loss_can_be_differentiated_once():
    hidden, head = student()
    loss = Objective("cross_entropy")(hidden, head, LABELS).loss
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="once"):
        loss.backward()


@pytest.mark.parametrize("kind", ["top", "dense", "labels"])
def test_bfloat16_products_are_near_float64_and_the_weights_gradient_is_float32(kind):
    signal = {"top": exact_top(TEACHER, 6), "dense": Dense(TEACHER), "labels": None}[kind]
    objective = Objective(alpha=0.3, temperature=2.0, chunk_tokens=4)
    hidden, head = student()
    want = objective(hidden, head, LABELS, signal, WEIGHTS).loss
    want.backward()
    wanted = gradients(hidden, head)
    hidden, head = student(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        got = objective(hidden, head, LABELS, signal, WEIGHTS)
    got.loss.backward()
    assert got.loss.dtype == torch.float32
    assert got.loss.item() == pytest.approx(want.item(), rel=5e-3)
    for tensor, expected in zip(gradients(hidden, head), wanted, strict=True):
        assert tensor.dtype == torch.float32
        assert (tensor - expected).norm() < 2e-2 * expected.norm()
    assert (head.weight.grad - head.weight.grad.bfloat16()).abs().max() > 0, "summed in bfloat16"


def test_many_bfloat16_chunks_do_not_lose_small_gradients():
    """256 equal chunks: a sum in bfloat16 would stop growing after a few."""
    torch.manual_seed(0)
    head = torch.nn.Linear(D, V, bias=False)
    hidden, labels = torch.randn(1, D).expand(256, D), torch.full((256,), 3)
    grads = []
    for rows in (1, 256):
        copied = copy.deepcopy(head)
        with torch.autocast("cpu", torch.bfloat16):
            loss = Objective("cross_entropy", chunk_tokens=1)(hidden[:rows], copied, labels[:rows])
        loss.loss.backward()
        grads.append(copied.weight.grad)
    assert torch.allclose(grads[1], 256 * grads[0], rtol=1e-4)


@pytest.mark.parametrize("kind", ["top", "dense", "labels"])
def test_no_answer_tokens_give_zero(kind):
    signal = {"top": exact_top(TEACHER, 6), "dense": Dense(TEACHER), "labels": None}[kind]
    hidden, head = student()
    sums = Objective(alpha=0.3, temperature=2.0)(
        hidden[:0], head, LABELS[:0], signal and signal.rows(slice(0))
    )
    sums.loss.backward()
    assert sums.loss.item() == sums.cross_entropy.item() == sums.divergence.item() == 0
    assert all((grad == 0).all() for grad in gradients(hidden, head))


def test_weights_of_zero_give_zero():
    hidden, head = student()
    nothing = torch.zeros(N)
    sums = Objective(alpha=0.3)(hidden, head, LABELS, exact_top(TEACHER, 6), nothing)
    sums.loss.backward()
    assert sums.loss.item() == sums.cross_entropy.item() == sums.divergence.item() == 0
    assert all((grad == 0).all() for grad in gradients(hidden, head))


def test_a_weight_of_two_counts_a_token_twice():
    hidden, head = student()
    top, objective = exact_top(TEACHER, 6), Objective(alpha=0.3, temperature=2.0)
    twice = torch.tensor([0, 1, 1])
    rows = TopK(*(field[twice] for field in vars(top).values()))
    with torch.no_grad():
        one = objective(hidden[twice], head, LABELS[twice], rows)
        two = objective(hidden[:2], head, LABELS[:2], top.rows(slice(2)), torch.tensor([1.0, 2.0]))
    for name in ("loss", "cross_entropy", "divergence"):
        assert getattr(one, name).item() == pytest.approx(getattr(two, name).item(), rel=1e-12)


def test_weights_of_one_are_no_weights():
    hidden, head = student(torch.float32)
    objective, top = Objective(alpha=0.3, temperature=2.0, chunk_tokens=3), truncate(TEACHER, 8)
    none = objective(hidden, head, LABELS, top).loss.item()
    ones = objective(hidden, head, LABELS, top, torch.ones(N)).loss.item()
    assert ones == pytest.approx(none, rel=1e-6)


def test_blocks_smaller_than_a_chunk_change_nothing(monkeypatch):
    want, wanted = reference("forward_kl", 0.3, 2.5, 6)
    monkeypatch.setattr("potstill.loading.head.BLOCK_BYTES", 2 * V * 8)
    monkeypatch.setattr("potstill.distill.head.TILE_ROWS", 7)
    hidden, head = student()
    sums = Objective(alpha=0.3, temperature=2.5, chunk_tokens=7)(
        hidden, head, LABELS, exact_top(TEACHER, 6), WEIGHTS
    )
    sums.loss.backward()
    assert torch.allclose(sums.loss, want[0])
    for got, expected in zip(gradients(hidden, head), wanted, strict=True):
        assert torch.allclose(got, expected, rtol=1e-9, atol=1e-12)


def test_only_a_chunk_of_logits_exists_at_a_time():
    seen = []

    def block(logits, part):
        seen.append((logits.untyped_storage().nbytes(), part.start, part.stop))
        return logits.sum()[None], torch.ones_like(logits)

    hidden, head = student(torch.float32)
    (total,) = fused(hidden, head, block, num_sums=1, chunk_tokens=4)
    assert total.item() == pytest.approx(head(hidden).sum().item(), rel=1e-5)
    assert {size for size, *_ in seen} == {4 * V * 4}
    assert [place for _, *place in seen] == [[0, 4], [4, 8], [8, 9]]


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_token_likelihoods_and_their_gradients_do_not_depend_on_the_chunk(chunk):
    hidden, head = student()
    got = token_nlls(hidden, head, LABELS, chunk_tokens=chunk)
    want = functional.cross_entropy(head(hidden), LABELS, reduction="none")
    assert got.dtype == torch.float32
    assert torch.allclose(got.double(), want, rtol=1e-6)
    (got @ WEIGHTS.float()).backward()
    found = gradients(hidden, head)
    hidden, head = student()
    (WEIGHTS @ functional.cross_entropy(head(hidden), LABELS, reduction="none")).backward()
    for tensor, expected in zip(found, gradients(hidden, head), strict=True):
        assert torch.allclose(tensor, expected, rtol=1e-5, atol=1e-7)
    with torch.inference_mode():
        assert torch.equal(token_nlls(hidden, head, LABELS, chunk_tokens=chunk), got)
        assert token_nlls(hidden[:0], head, LABELS[:0]).shape == (0,)


@pytest.mark.parametrize("autocast", [False, True])
def test_mapped_chunks_are_the_heads_logits_in_its_dtype(autocast):
    hidden, head = student(torch.float32)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast), torch.no_grad():
        want = head(hidden)
        parts = map_logits(lambda z, part: (z.clone(), part), hidden, head, chunk_tokens=4)
    logits = torch.cat([z for z, _ in parts])
    assert logits.dtype == (torch.bfloat16 if autocast else torch.float32)
    assert torch.allclose(logits, want, rtol=1e-2 if autocast else 1e-5, atol=1e-6)
    assert [part.start for _, part in parts] == [0, 4, 8]


@pytest.mark.parametrize("signal", [None, Dense(TEACHER)], ids=["labels", "teacher"])
def test_rewards_and_staleness_of_a_students_own_tokens_are_those_written_out(signal):
    known = draw(N, seed=11, scale=1.0).abs().neg()
    known[3] = float("nan")  # nobody knows, as of a token that ends an answer
    rewards = draw(N, seed=12, scale=1.0)
    hidden, head = student()
    objective = Objective("reverse_kl", alpha=0.0, chunk_tokens=4)
    found = objective(hidden, head, LABELS, signal, WEIGHTS, Spoken(known, rewards))
    found.loss.backward()
    plain, other = student()
    log_q = torch.log_softmax(other(plain), -1)
    own = log_q.gather(1, LABELS[:, None]).squeeze(1)
    if signal is None:
        taught = -(WEIGHTS @ own)
    else:
        each = (log_q.exp() * (log_q - torch.log_softmax(TEACHER, -1))).sum(-1)
        taught = WEIGHTS @ each
    wanted = taught - rewards @ own  # a positive reward draws the student to the token
    wanted.backward()
    torch.testing.assert_close(found.loss, wanted, rtol=1e-9, atol=1e-9)
    for one, two in zip(gradients(hidden, head), gradients(plain, other), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-7, atol=1e-9)
    gap = (known - own).nansum().detach()
    torch.testing.assert_close(found.staleness, gap, rtol=1e-9, atol=1e-9)


def test_of_other_rows_nothing_is_stale():
    hidden, head = student()
    assert "staleness" not in Objective()(hidden, head, LABELS).columns()
