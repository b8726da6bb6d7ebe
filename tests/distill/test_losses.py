"""The loss against fp64 definitions, limits and gradients. Not tested: speed and memory."""

import pytest
import torch
from potstill.distill.losses import distillation_loss, log1mexp, topk_kl
from potstill.logits.topk import TopK, truncate

N, D, V = 7, 5, 61


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(N, V, generator=generator) * 3,
        torch.randn(N, V, generator=generator) * 3,
    )


def full_kl(teacher, student, temperature):
    p = torch.log_softmax(teacher.double() / temperature, -1)
    q = torch.log_softmax(student.double() / temperature, -1)
    return (p.exp() * (p - q)).sum().item()


def bucket_kl(teacher, student, k, temperature):
    """Brute force in fp64: k tokens and one bucket for the rest, which are then taken to T."""
    total = 0.0
    for t_row, s_row in zip(teacher.double(), student.double(), strict=True):
        p, q = torch.softmax(t_row, -1), torch.softmax(s_row, -1)
        top = p.topk(k).indices.tolist()
        pairs = [(p[i], q[i]) for i in top]
        rest = [i for i in range(len(p)) if i not in top]
        pairs.append((p[rest].sum(), q[rest].sum()))
        a, b = torch.tensor(pairs, dtype=torch.float64).T ** (1 / temperature)
        a, b = a / a.sum(), b / b.sum()
        total += (a * (a / b).log()).sum().item()
    return total


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.5])
def test_all_tokens_cached_is_the_full_kl(logits, temperature):
    teacher, student = logits
    got = topk_kl(student, truncate(teacher, V), temperature).sum().item()
    assert got == pytest.approx(full_kl(teacher, student, temperature), rel=1e-5)


@pytest.mark.parametrize("k", [1, 3, 17, V - 1])
def test_the_tail_is_one_more_outcome(logits, k):
    teacher, student = logits
    got = topk_kl(student, truncate(teacher, k), 2.0).sum().item()
    assert got == pytest.approx(bucket_kl(teacher, student, k, 2.0), rel=1e-4)


@pytest.mark.parametrize("k", [1, 5, V])
def test_equal_models_have_no_divergence(logits, k):
    teacher, _ = logits
    assert topk_kl(teacher, truncate(teacher, k), 2.0).sum().item() == pytest.approx(0, abs=1e-4)


def test_cached_kl_never_exceeds_the_full_one_and_is_not_negative(logits):
    teacher, student = logits
    values = [topk_kl(student, truncate(teacher, k), 1.0).sum().item() for k in (1, 4, 16, V)]
    assert all(value >= 0 for value in values)
    assert values == sorted(values), "merging outcomes can only lose divergence"


def test_a_teacher_that_is_certain_gives_finite_gradients():
    student = torch.zeros(1, V, requires_grad=True)
    teacher = torch.full((1, V), -200.0)
    teacher[0, 3] = 200.0
    topk_kl(student, truncate(teacher, 4), 1.0).sum().backward()
    assert torch.isfinite(student.grad).all()


def test_a_certain_student_gives_finite_loss_and_gradients():
    student = torch.full((1, V), -300.0)
    student[0, 5] = 300.0
    student.requires_grad_()
    loss = topk_kl(student, truncate(torch.zeros(1, V), 4), 1.0)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(student.grad).all()


def test_log1mexp_against_fp64():
    x = torch.tensor([-1e-6, -1e-3, -0.5, -0.7, -3.0, -40.0])
    exact = torch.log(-torch.expm1(x.double()))
    assert torch.allclose(log1mexp(x).double(), exact, rtol=1e-4)


def test_gradient_equals_finite_differences(logits):
    teacher, student = (tensor[:2].double() for tensor in logits)
    top = truncate(teacher, 5)
    top = TopK(top.ids_NK, top.log_probs_NK.double(), top.log_tail_N.double())

    def loss(rows):
        return topk_kl(rows, top, 2.0).sum()

    student.requires_grad_()
    loss(student).backward()
    step = 1e-2  # the loss computes in float32
    for place in [(0, 0), (1, 7), (0, int(top.ids_NK[0, 0]))]:
        moved = student.detach().clone()
        moved[place] += step
        up = loss(moved).item()
        moved[place] -= 2 * step
        slope = (up - loss(moved).item()) / (2 * step)
        assert student.grad[place].item() == pytest.approx(slope, abs=2e-4)


def head_and_hidden():
    torch.manual_seed(3)
    return torch.nn.Linear(D, V, bias=False), torch.randn(N, D), torch.randint(0, V, (N,))


def mixed(alpha, chunk, *, teacher=True):
    head, hidden, labels = head_and_hidden()
    hidden.requires_grad_()
    top = truncate(torch.randn(N, V, generator=torch.Generator().manual_seed(9)), 6)
    sums = distillation_loss(
        hidden,
        head,
        labels,
        top if teacher else None,
        alpha=alpha,
        temperature=2.0,
        chunk_tokens=chunk,
    )
    sums.loss.backward()
    return sums, hidden.grad, head.weight.grad


@pytest.mark.parametrize("chunk", [1, 3, N, 100])
def test_value_and_gradients_do_not_depend_on_the_chunk(chunk):
    sums, hidden, weight = mixed(0.3, chunk)
    whole, hidden_whole, weight_whole = mixed(0.3, N)
    assert sums.loss.item() == pytest.approx(whole.loss.item(), rel=1e-6)
    assert torch.allclose(hidden, hidden_whole, atol=1e-6)
    assert torch.allclose(weight, weight_whole, atol=1e-5)


def test_the_mix_is_alpha_ce_plus_t_squared_kl():
    sums, *_ = mixed(0.3, 4)
    expected = 0.3 * sums.cross_entropy + 0.7 * 4.0 * sums.kl
    assert sums.loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_without_a_teacher_the_loss_is_the_cross_entropy_of_torch():
    sums, *_ = mixed(0.3, 4, teacher=False)
    head, hidden, labels = head_and_hidden()
    expected = torch.nn.functional.cross_entropy(head(hidden), labels, reduction="sum")
    assert sums.loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert sums.kl.item() == 0


def test_no_answer_tokens_give_zero():
    head, hidden, labels = head_and_hidden()
    sums = distillation_loss(
        hidden[:0], head, labels[:0], None, alpha=1.0, temperature=2.0, chunk_tokens=8
    )
    assert sums.loss.item() == 0


@pytest.mark.parametrize("chunk", [2, 99])
def test_weights_weigh_each_token_in_all_sums(logits, chunk):
    """Against float64, token by token; a weight of two counts a token twice."""
    teacher_NV, student_NV = logits
    labels, weights = torch.arange(N), torch.tensor([1.0, 0.5, 2.0, 1.0, 3.0, 1.0, 0.25])
    hidden = student_NV.clone().requires_grad_()
    sums = distillation_loss(
        hidden, torch.nn.Identity(), labels, truncate(teacher_NV, 8),
        alpha=0.3, temperature=2.0, chunk_tokens=chunk, weights_N=weights,
    )  # fmt: skip
    sums.loss.backward()
    expected, gradient = 0.0, torch.zeros(N, V, dtype=torch.float64)
    for n in range(N):
        row = student_NV[n : n + 1].double().requires_grad_()
        one = distillation_loss(
            row, torch.nn.Identity(), labels[n : n + 1], truncate(teacher_NV[n : n + 1], 8),
            alpha=0.3, temperature=2.0, chunk_tokens=1,
        )  # fmt: skip
        one.loss.backward()
        expected += weights[n].item() * one.loss.item()
        gradient[n] = weights[n] * row.grad[0]
    assert sums.loss.item() == pytest.approx(expected, rel=1e-5)
    assert torch.allclose(hidden.grad.double(), gradient, atol=1e-5)


def test_weights_of_one_change_no_bit(logits):
    teacher_NV, student_NV = logits
    how = {"alpha": 0.3, "temperature": 2.0, "chunk_tokens": 3}
    arguments = (student_NV, torch.nn.Identity(), torch.arange(N), truncate(teacher_NV, 8))
    assert distillation_loss(*arguments, **how).loss == pytest.approx(
        distillation_loss(*arguments, **how, weights_N=torch.ones(N)).loss.item(), rel=1e-6
    )
