"""The divergences against float64 definitions, limits and properties. Not tested: speed, memory."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from potstill.distill.objective import Objective
from potstill.distill.objectives import OBJECTIVES
from potstill.errors import InputError
from potstill.logits.dense import Dense, Live
from potstill.logits.sampled import Sampled
from potstill.logits.topk import TopK, truncate

from tests.distill.references import (
    N,
    V,
    divergence,
    draw,
    exact_top,
    measured,
    outcome_divergence,
    temper,
)

TEACHER, STUDENT = draw(N, V, seed=1), draw(N, V, seed=2)
DIVERGENCES = ["forward_kl", "reverse_kl", "jensen_shannon"]


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.5])
@pytest.mark.parametrize("name", DIVERGENCES)
@pytest.mark.parametrize("k", [1, 3, 17, V - 1, V])
def test_the_tail_is_one_more_outcome_and_both_sides_are_tempered_alike(name, k, temperature):
    how = {"name": name, "temperature": temperature, "beta": 0.3}
    got = measured(STUDENT.float(), truncate(TEACHER, k), **how).sum().item()
    want = outcome_divergence(name, TEACHER, STUDENT, k, temperature, beta=0.3).item()
    assert got == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("name", DIVERGENCES)
def test_all_tokens_cached_and_whole_logits_are_the_full_tempered_divergence(name, temperature):
    p, q = (torch.softmax(logits / temperature, -1) for logits in (TEACHER, STUDENT))
    want = sum(divergence(name, *rows).item() for rows in zip(p, q, strict=True))
    for signal in (exact_top(TEACHER, V), Dense(TEACHER)):
        got = measured(STUDENT, signal, name=name, temperature=temperature).sum().item()
        assert got == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 50.0])
@pytest.mark.parametrize("name", DIVERGENCES)
@pytest.mark.parametrize("k", [1, 5, V - 1, V])
def test_equal_models_have_no_divergence_and_no_gradient(name, k, temperature):
    how = {"name": name, "alpha": 0.0, "temperature": temperature}
    for signal in (exact_top(TEACHER, k), Dense(TEACHER)):
        found = Objective(**how).terms(TEACHER + 7.5, torch.zeros(N, dtype=torch.int64), signal)
        assert found.divergence_B.abs().max().item() < 1e-12
        assert found.slope_BV.abs().max().item() < 1e-9


@pytest.mark.parametrize("name", DIVERGENCES)
def test_equal_kept_probabilities_are_enough_whatever_the_tails_shape(name):
    """Zero exactly where the k + 1 outcomes are equal: the tail's shape is not looked at."""
    top = exact_top(TEACHER, 5)
    shuffled = torch.softmax(TEACHER, -1)
    for row, ids in zip(shuffled, top.ids_NK, strict=True):
        rest = torch.tensor([i for i in range(V) if i not in ids])
        row[rest] = row[rest.flip(0)]
    assert not torch.allclose(shuffled, torch.softmax(TEACHER, -1))
    assert measured(shuffled.log(), top, name=name, temperature=3.0).max().item() < 1e-12


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    k=st.integers(1, V),
    temperature=st.floats(0.3, 8),
    scale=st.floats(0.01, 40),
    name=st.sampled_from(DIVERGENCES),
)
def test_never_negative_and_finite_in_float32(seed, k, temperature, scale, name):
    teacher, student = (draw(3, V, seed=seed + n, scale=scale).float() for n in (0, 1))
    found = Objective(name, alpha=0.2, temperature=temperature).terms(
        student, torch.tensor([0, 1, 2]), truncate(teacher, k)
    )
    assert (found.divergence_B >= 0).all()
    assert torch.isfinite(found.divergence_B).all()
    assert torch.isfinite(found.slope_BV).all()


def test_merging_outcomes_can_only_lose_divergence():
    values = [measured(STUDENT, exact_top(TEACHER, k)).sum().item() for k in (1, 4, 16, V)]
    assert values == sorted(values)
    assert values[0] < values[-1]


def test_jensen_shannon_is_bounded_and_tends_to_both_kls():
    bound = -(0.3 * math.log(0.3) + 0.7 * math.log(0.7))
    far = measured(STUDENT * 9, Dense(TEACHER * 9), name="jensen_shannon", beta=0.3)
    assert 0.5 * bound < far.max().item() <= bound + 1e-12
    for beta, name, weight in ((1e-7, "forward_kl", 1e-7), (1 - 1e-7, "reverse_kl", 1e-7)):
        near = measured(STUDENT, Dense(TEACHER), name="jensen_shannon", beta=beta) / weight
        assert torch.allclose(near, measured(STUDENT, Dense(TEACHER), name=name), rtol=1e-3)


def test_jensen_shannon_of_one_half_is_symmetric():
    one, other = (
        measured(a, Dense(b), name="jensen_shannon", temperature=2.0)
        for a, b in ((STUDENT, TEACHER), (TEACHER, STUDENT))
    )
    assert torch.allclose(one, other)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_a_modules_slope_is_the_derivative_of_its_value(name):
    p, q = (torch.log_softmax(x, -1) for x in (TEACHER, STUDENT))
    _, slope = OBJECTIVES[name].divergence(p, q.clone(), 0.3)
    free = q.clone().requires_grad_()
    divergence(name, p.exp(), free.exp(), 0.3).backward()
    assert torch.allclose(slope, free.grad, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_certain_teachers_and_students_give_finite_losses_and_slopes(name):
    certain = torch.full((1, V), -200.0)
    certain[0, 3] = 200.0
    for teacher, student in (
        (certain, torch.zeros(1, V)),
        (torch.zeros(1, V), certain),
        (certain, certain.roll(1)),
    ):
        for signal in (truncate(teacher, 4), Dense(teacher)):
            found = Objective(name, 0.5, 2.0).terms(student, torch.tensor([5]), signal)
            assert torch.isfinite(found.divergence_B).all()
            assert torch.isfinite(found.slope_BV).all()
            assert found.divergence_B.item() > 0.1


def test_a_small_tail_of_the_student_is_not_lost_to_rounding():
    student = torch.zeros(1, V)
    student[0, :4] = 30.0  # the others have 5e-13 of the probability, below float32's epsilon
    teacher = exact_top(student / 300, 4)
    got = measured(student, teacher).item()
    assert got == pytest.approx(measured(student.double(), teacher).item(), rel=1e-5)
    assert got > 20


def sampled(counts_NV):
    """Draws as the store keeps them: ids with their shares, padded with 0."""
    width = int((counts_NV > 0).sum(-1).max())
    ids = torch.zeros(len(counts_NV), width, dtype=torch.int64)
    weights = torch.zeros(len(counts_NV), width)
    for n, row in enumerate(counts_NV):
        found = row.nonzero().flatten()
        ids[n, : len(found)], weights[n, : len(found)] = found, (row[found] / row.sum()).float()
    return Sampled(ids, weights)


def drawn(count, seed):
    source = torch.Generator().manual_seed(seed)
    ids = torch.multinomial(torch.softmax(TEACHER, -1), count, replacement=True, generator=source)
    return torch.zeros(N, V).scatter_add_(1, ids, torch.ones(N, count))


def test_drawn_tokens_are_the_kl_from_their_shares():
    counts = drawn(20, 0)
    got = measured(STUDENT, sampled(counts))
    shares, q = (counts / 20).double(), torch.log_softmax(STUDENT, -1)
    want = (torch.special.xlogy(shares, shares) - shares * q).sum(-1)
    assert torch.allclose(got, want, rtol=1e-6)
    assert (got > 0).all()


def test_drawn_tokens_give_the_full_gradient_in_expectation():
    """The mean slope over draws is within 5 standard errors of that of the whole distribution."""
    labels, count, times = torch.zeros(N, dtype=torch.int64), 50, 400
    objective = Objective("forward_kl", alpha=0.0)
    whole = objective.terms(STUDENT, labels, Dense(TEACHER)).slope_BV
    mean = torch.zeros_like(whole)
    for seed in range(times):
        mean += objective.terms(STUDENT, labels, sampled(drawn(count, seed))).slope_BV / times
    p = torch.softmax(TEACHER, -1)
    error = (p * (1 - p) / (count * times)).sqrt()
    # an id that is drawn once in 20,000 is no normal variable: five more draws are allowed
    assert ((mean - whole).abs() <= 5 * error + 5 / (count * times)).all()
    top = p.topk(5)
    biased = Sampled(top.indices, top.values / top.values.sum(-1, keepdim=True))
    renormalised = objective.terms(STUDENT, labels, biased).slope_BV
    assert (renormalised - whole).abs().max() > 5 * (mean - whole).abs().max()


def test_padding_of_draws_says_nothing_of_id_0():
    counts = torch.zeros(N, V)
    counts[:, 7] = 3
    counts[0, 9] = 1  # so that all other rows are padded
    got = Objective(alpha=0.0).terms(STUDENT, torch.zeros(N, dtype=torch.int64), sampled(counts))
    q = torch.softmax(STUDENT, -1)
    assert torch.allclose(got.slope_BV[1:, 0], q[1:, 0])
    assert torch.allclose(got.divergence_B[1:], -q[1:, 7].log())


@pytest.mark.parametrize(
    ("how", "named"),
    [
        ({"name": "reverse_kl"}, "take forward_kl, or cache top tokens"),
        ({"name": "jensen_shannon"}, "needs the teacher's top tokens or all its logits"),
        ({"temperature": 2.0}, "set temperature to 1"),
        ({"margin": 0.1}, "leave margin out"),
        ({"name": "cross_entropy"}, "asks no teacher"),
    ],
)
def test_what_drawn_tokens_cannot_give_is_refused(how, named):
    objective = Objective(**how)
    with pytest.raises(InputError, match=named):
        objective.check(Sampled)
    with pytest.raises(InputError, match=named):
        measured(STUDENT, sampled(drawn(5, 0)), **how)


@pytest.mark.parametrize(
    ("how", "named"),
    [
        ({"name": "forward_kI"}, "unknown objective 'forward_kI'; .*did you mean forward_kl"),
        ({"alpha": 1.5}, "alpha is a weight"),
        ({"name": "cross_entropy", "alpha": 0.5}, "asks no teacher: set alpha to 1"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"temperature": float("nan")}, "temperature must be above 0"),
        ({"name": "jensen_shannon", "beta": 1.0}, "take forward_kl or reverse_kl"),
        ({"margin": 1.0}, "margin is a probability"),
        ({"chunk_tokens": 0}, "chunk_tokens"),
    ],
)
def test_settings_out_of_range_are_refused_at_construction(how, named):
    with pytest.raises(InputError, match=named):
        Objective(**how)


@pytest.mark.parametrize("name", DIVERGENCES)
def test_a_padded_teacher_is_cut_to_the_students_ids(name):
    padded = torch.cat([TEACHER, torch.full((N, 4), 50.0, dtype=torch.float64)], -1)
    cut = measured(STUDENT, Dense(padded), name=name)
    assert torch.equal(cut, measured(STUDENT, Dense(TEACHER), name=name))


def test_ids_that_the_other_side_does_not_have_are_refused():
    with pytest.raises(InputError, match=f"student's head has {V} ids, the teacher's {V - 1}"):
        measured(STUDENT, Dense(TEACHER[:, :-1]))
    with pytest.raises(InputError, match=f"teacher's ids reach {V - 1}, .* head has {V - 1}"):
        measured(STUDENT[:, :-1], exact_top(TEACHER, V))


@pytest.mark.parametrize("bias", [True, False])
def test_a_live_teacher_is_its_logits(bias):
    hidden, weight = draw(N, 8, seed=5), draw(V + 3, 8, seed=6)
    bias_V = draw(V + 3, seed=7) if bias else None
    logits = hidden @ weight.T + (bias_V if bias else 0)
    got = measured(STUDENT[2:5], Live(hidden, weight, bias_V).rows(slice(2, 5)))
    assert torch.allclose(got, measured(STUDENT, Dense(logits))[2:5])


@pytest.mark.parametrize(
    "signal",
    [
        exact_top(TEACHER, 3),
        sampled(drawn(9, 1)),
        Dense(TEACHER),
        Live(TEACHER, STUDENT.T @ TEACHER),
    ],
    ids=lambda signal: type(signal).__name__,
)
def test_rows_and_devices_leave_the_numbers_alone(signal):
    there = signal.to(torch.device("cpu"))
    part = there.rows(slice(2, 6)).rows(slice(1, 3))
    for name, field in vars(signal).items():
        if name.split("_")[-1].startswith("N"):
            assert torch.equal(getattr(part, name), field[3:5])


def test_truncating_keeps_the_most_probable_and_the_exact_rest():
    top = truncate(TEACHER, 7)
    p = torch.softmax(TEACHER, -1)
    assert torch.allclose(top.log_probs_NK.exp().double(), p.topk(7).values, atol=1e-6)
    total = top.log_probs_NK.exp().sum(-1) + top.log_tail_N.exp()
    assert torch.allclose(total, torch.ones(N), atol=1e-6)
    assert (truncate(TEACHER, 10 * V).log_tail_N == -1e4).all()
    assert isinstance(top, TopK)


def test_the_reference_tempers_as_softmax_does():
    p = torch.softmax(TEACHER[0], -1)
    assert torch.allclose(temper(p, 3.0), torch.softmax(TEACHER[0] / 3.0, -1))
