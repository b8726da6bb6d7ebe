"""The distillation loss: cross-entropy on labels mixed with KL to a teacher's cached top tokens.

    loss = alpha * CE(labels) + (1 - alpha) * T^2 * KL(teacher_T || student_T)

The KL runs over k + 1 outcomes: the teacher's k most probable tokens and one for all the others
(the tail), whose probabilities at temperature 1 are then taken to T on both sides. Without the tail
the truncated distributions are renormalised, the student is pulled towards over-confidence, and
below k of about 50 that is worse than no distillation.
With k = V the sum is the full KL. Never negative; exactly zero where the student's probabilities
on those k + 1 outcomes equal the teacher's.

Sources: Hinton et al. 2015, section 2 (temperature and T^2); DistillKit's "missing probability"
bucket; Anshumann et al. 2025 (Sparse Logit Sampling) for the harm of renormalising.

Dimensions: N answer tokens, D width, V vocabulary, K cached tokens.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from potstill.logits.topk import TopK


@dataclass(frozen=True)
class LossSums:
    """Sums over tokens: divide by the number of tokens of the whole (accumulated) batch."""

    loss: torch.Tensor
    cross_entropy: torch.Tensor
    kl: torch.Tensor


def log1mexp(x: torch.Tensor) -> torch.Tensor:
    """Return log(1 - exp(x)) for x <= 0 without cancellation (Maechler 2012, eq. 7)."""
    x = x.clamp(max=-1e-7)  # 0 would give -inf, and a gradient of NaN
    near_zero = x > -0.6931471805599453
    # Both branches get a harmless argument where they are not chosen: where() passes NaN gradients.
    small = torch.log(-torch.expm1(torch.where(near_zero, x, -1.0)))
    large = torch.log1p(-torch.exp(torch.where(near_zero, -1.0, x)))
    return torch.where(near_zero, small, large)


def topk_kl(logits_NV: torch.Tensor, teacher: TopK, temperature: float) -> torch.Tensor:
    """Return KL(teacher || student) of each token [N], both at the temperature, in nats."""
    student_NK = torch.log_softmax(logits_NV.float(), dim=-1).gather(-1, teacher.ids_NK)
    teacher_NK = teacher.log_probs_NK
    if teacher.ids_NK.shape[-1] < logits_NV.shape[-1]:
        student_tail_N = log1mexp(torch.logsumexp(student_NK, dim=-1))
        student_NK = torch.cat([student_NK, student_tail_N[:, None]], dim=-1)
        teacher_NK = torch.cat([teacher_NK, teacher.log_tail_N[:, None]], dim=-1)
    student_NK = torch.log_softmax(student_NK / temperature, dim=-1)
    teacher_NK = torch.log_softmax(teacher_NK / temperature, dim=-1)
    return (teacher_NK.exp() * (teacher_NK - student_NK)).sum(-1)


def distillation_loss(
    hidden_ND: torch.Tensor,
    head: torch.nn.Module,
    labels_N: torch.Tensor,
    teacher: TopK | None,
    *,
    alpha: float,
    temperature: float,
    chunk_tokens: int,
    weights_N: torch.Tensor | None = None,
) -> LossSums:
    """Return the loss over answer tokens without ever holding all their logits.

    The logits of one chunk are made, used and dropped; the backward pass makes them again.
    Memory is O(chunk_tokens * V) instead of O(N * V); the value does not depend on the chunk.

    Args:
        hidden_ND: the student's last hidden states at the positions that predict `labels_N`.
        head: maps hidden states to logits [.., V].
        labels_N: int64; prompts and padding are left out before, so every row counts.
        teacher: cached distributions of the same N positions; None trains on labels alone.
        alpha: weight of the cross-entropy, 0 to 1; without a teacher it is taken as 1.
        temperature: T of the KL, on both sides.
        chunk_tokens: tokens whose logits exist at a time.
        weights_N: float32, of each token in all three sums; None weighs all as 1.
    """
    sums = [hidden_ND.new_zeros((), dtype=torch.float32) for _ in range(3)]
    for start in range(0, len(labels_N), chunk_tokens):
        part = slice(start, start + chunk_tokens)
        rows = teacher.rows(part) if teacher is not None else None
        chunk = checkpoint(
            _chunk,
            hidden_ND[part],
            head,
            labels_N[part],
            rows,
            weights_N[part] if weights_N is not None else None,
            alpha,
            temperature,
            use_reentrant=False,
        )
        sums = [total + value for total, value in zip(sums, chunk, strict=True)]
    return LossSums(*sums)


def _chunk(
    hidden_ND: torch.Tensor,
    head: torch.nn.Module,
    labels_N: torch.Tensor,
    teacher: TopK | None,
    weights_N: torch.Tensor | None,
    alpha: float,
    temperature: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    logits_NV = head(hidden_ND).float()
    if weights_N is None:  # the sum of losses that are summed in one step, to the last bit
        cross_entropy = functional.cross_entropy(logits_NV, labels_N, reduction="sum")
    else:
        cross_entropy = weights_N @ functional.cross_entropy(logits_NV, labels_N, reduction="none")
    if teacher is None:
        return cross_entropy, cross_entropy.detach(), torch.zeros_like(cross_entropy)
    kl_N = topk_kl(logits_NV, teacher, temperature)
    kl = kl_N.sum() if weights_N is None else weights_N @ kl_N
    loss = alpha * cross_entropy + (1 - alpha) * temperature**2 * kl
    return loss, cross_entropy.detach(), kl.detach()
