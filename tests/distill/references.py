"""Teachers, students and losses in float64, written out: what the library's must equal."""

import torch
from potstill.distill.objective import Objective
from potstill.logits.topk import TopK

N, D, V = 9, 5, 61


def draw(*shape, seed=1, scale=3.0):
    source = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=source, dtype=torch.float64) * scale


def exact_norm(norm, hidden_BTD):
    """transformers' own is in float32, which is no use to a finite difference."""
    squares = hidden_BTD.square().mean(-1, keepdim=True)
    return norm.weight * hidden_BTD * torch.rsqrt(squares + norm.variance_epsilon)


def exact_top(teacher_NV, k):
    """`truncate` in float64."""
    log_p = torch.log_softmax(teacher_NV.double(), -1)
    top = log_p.topk(k)
    rest = log_p.scatter(-1, top.indices, float("-inf"))
    return TopK(top.indices, top.values, torch.logsumexp(rest, -1).clamp(min=-1e4))


def merge(logits_V, ids):
    """Return the probabilities of some ids and of all others as one, if there are others."""
    p = torch.softmax(logits_V.double(), -1)
    rest = [i for i in range(len(p)) if i not in ids]
    parts = [p[i] for i in ids] + ([p[rest].sum()] if rest else [])
    return torch.stack(parts)


def temper(p_O, temperature):
    powers = p_O ** (1 / temperature)
    return powers / powers.sum()


def kl(p, q):
    return (p * (p.log() - q.log())).sum()


def divergence(name, p, q, beta=0.5):
    """The definitions, for two vectors of probabilities."""
    if name == "forward_kl":
        return kl(p, q)
    if name == "reverse_kl":
        return kl(q, p)
    m = beta * p + (1 - beta) * q
    return beta * kl(p, m) + (1 - beta) * kl(q, m)


def outcome_divergence(name, teacher_NV, student_NV, k, temperature, beta=0.5):
    """Token by token: merged into k + 1 outcomes at T = 1, then tempered on both sides."""
    total = 0.0
    for t_row, s_row in zip(teacher_NV, student_NV, strict=True):
        ids = t_row.double().topk(k).indices.tolist()
        p, q = (temper(merge(row, ids), temperature) for row in (t_row, s_row))
        total = total + divergence(name, p, q, beta)
    return total


def measured(student_NV, signal, labels_N=None, **settings):
    """Return the library's divergence of each token."""
    labels = torch.zeros(len(student_NV), dtype=torch.int64) if labels_N is None else labels_N
    return Objective(**settings).terms(student_NV, labels, signal).divergence_B
