"""Losses of single tokens from their logits, and what the logits should change, in one pass.

The derivative of cross-entropy and of every divergence over outcomes is the student's softmax q
times one number a row, plus corrections at a few ids:

    d / d z_v = q_v (h + s_tail / q_tail)        h, s: what labels and outcomes weigh
    d / d z_k = s_k + h q_k                      k a kept id
    d / d z_y -= h                               y the label

so the vocabulary is walked for the softmax, the tail's sum and one product, all in place, and no
graph is built. With a whole distribution as teacher the outcomes are the vocabulary.

Dimensions: B tokens of a block, V vocabulary, K tokens kept, S tokens drawn, O outcomes.
"""

from dataclasses import dataclass

import torch

from potstill.distill.objectives import OBJECTIVES
from potstill.distill.objectives.margin import correct, correct_top
from potstill.distill.objectives.outcomes import compare
from potstill.logits.dense import Dense, Live, Several
from potstill.logits.sampled import Sampled
from potstill.logits.topk import MIN_LOG_PROBABILITY, TopK

Signal = TopK | Sampled | Dense | Live | Several  # what a teacher says of N tokens
LEAST_TAIL = 1e-30  # a student's smaller tail counts as this: 69 nats, and no division by zero


@dataclass(frozen=True)
class Divergent:
    """Which divergence is taken, and how: see `Objective`."""

    name: str
    temperature: float
    beta: float
    margin: float | None


@dataclass(frozen=True)
class TokenLosses:
    """Terms [B] in nats, and the derivatives [B, V] of their weighted sum."""

    cross_entropy_B: torch.Tensor
    divergence_B: torch.Tensor
    slope_BV: torch.Tensor


def token_losses(
    logits_BV: torch.Tensor,
    labels_B: torch.Tensor,
    signal: Signal | None,
    how: Divergent,
    hard_B1: torch.Tensor,
    soft_B1: torch.Tensor,
) -> TokenLosses:
    """Return both terms of each token and the derivatives of hard * CE + soft * divergence.

    Args:
        logits_BV: the student's, of any floating dtype; left as they are.
        labels_B: int64.
        signal: the teacher's distributions of the same tokens; None: the divergence is 0.
        how: the divergence.
        hard_B1: what the cross-entropy weighs.
        soft_B1: what the divergence weighs, with the square of the temperature.

    Returns:
        float32, or float64 where the logits are.
    """
    exact = torch.float64 if logits_BV.dtype == torch.float64 else torch.float32
    hard_B1, soft_B1 = hard_B1.to(exact), soft_B1.to(exact)
    logits_BV = logits_BV.to(exact)
    q_BV = torch.softmax(logits_BV, -1)
    # log(sum exp) without a further exp: q is 1 / sum at the largest logit
    log_norm_B1 = logits_BV.amax(-1, keepdim=True) - q_BV.amax(-1, keepdim=True).log_()
    labels_B1 = labels_B[:, None]
    cross_entropy_B = (log_norm_B1 - logits_BV.gather(1, labels_B1)).squeeze(1)
    if isinstance(signal, TopK):
        divergence_B = _top(logits_BV, q_BV, log_norm_B1, labels_B, signal, how, hard_B1, soft_B1)
    elif isinstance(signal, Sampled):
        divergence_B = _drawn(logits_BV, q_BV, log_norm_B1, signal, how, hard_B1, soft_B1)
    elif signal is not None:
        divergence_B = _whole(logits_BV, q_BV, labels_B, signal, how, hard_B1, soft_B1)
    else:
        divergence_B = torch.zeros_like(cross_entropy_B)
        q_BV.mul_(hard_B1)
    q_BV.scatter_add_(1, labels_B1, -hard_B1)
    return TokenLosses(cross_entropy_B, divergence_B, q_BV)


def _top(
    logits_BV: torch.Tensor,
    q_BV: torch.Tensor,
    log_norm_B1: torch.Tensor,
    labels_B: torch.Tensor,
    teacher: TopK,
    how: Divergent,
    hard_B1: torch.Tensor,
    soft_B1: torch.Tensor,
) -> torch.Tensor:
    """Return the divergence over the ids kept and the tail; q becomes the derivatives."""
    if how.margin is not None:
        teacher = correct_top(teacher, labels_B, how.margin)
    ids_BK, num_kept = teacher.ids_NK, teacher.ids_NK.shape[-1]
    log_p_BO = teacher.log_probs_NK.to(q_BV.dtype)
    log_q_BK = log_q_BO = logits_BV.gather(1, ids_BK) - log_norm_B1
    has_tail = num_kept < logits_BV.shape[-1]
    if has_tail:
        # summed, not 1 - sum of the kept: a small tail would be rounding
        tail_B1 = q_BV.scatter_(1, ids_BK, 0).sum(-1, keepdim=True).clamp_(min=LEAST_TAIL)
        log_q_BO = torch.cat([log_q_BK, tail_B1.log()], -1)
        log_p_BO = torch.cat([log_p_BO, teacher.log_tail_N[:, None].to(q_BV.dtype)], -1)
    value_B, slope_BO = compare(
        OBJECTIVES[how.name], log_p_BO, log_q_BO, temperature=how.temperature, beta=how.beta
    )
    slope_BO.mul_(soft_B1)
    if has_tail:
        q_BV.mul_(slope_BO[:, -1:] / tail_B1 + hard_B1)
    q_BV.scatter_(1, ids_BK, slope_BO[:, :num_kept] + log_q_BK.exp_().mul_(hard_B1))
    return value_B


def _drawn(
    logits_BV: torch.Tensor,
    q_BV: torch.Tensor,
    log_norm_B1: torch.Tensor,
    teacher: Sampled,
    how: Divergent,
    hard_B1: torch.Tensor,
    soft_B1: torch.Tensor,
) -> torch.Tensor:
    """Return the divergence from what was drawn; q becomes the derivatives."""
    log_q_BS = logits_BV.gather(1, teacher.ids_NS) - log_norm_B1
    log_p_BS = teacher.weights_NS.to(q_BV.dtype).log().clamp_(min=MIN_LOG_PROBABILITY)
    value_B, slope_BS = OBJECTIVES[how.name].divergence(log_p_BS, log_q_BS, how.beta)
    slope_BS.mul_(soft_B1)
    q_BV.mul_(hard_B1 - slope_BS.sum(-1, keepdim=True))
    q_BV.scatter_add_(1, teacher.ids_NS, slope_BS)
    return value_B


def _whole(
    logits_BV: torch.Tensor,
    q_BV: torch.Tensor,
    labels_B: torch.Tensor,
    teacher: Dense | Live | Several,
    how: Divergent,
    hard_B1: torch.Tensor,
    soft_B1: torch.Tensor,
) -> torch.Tensor:
    """Return the divergence over the whole vocabulary; q becomes the derivatives."""
    log_p_BV = teacher.logits(logits_BV.shape[-1]).to(q_BV.dtype)
    if how.margin is not None:
        log_p_BV = correct(torch.log_softmax(log_p_BV, -1), labels_B, how.margin)
    value_B, slope_BV = compare(
        OBJECTIVES[how.name],
        log_p_BV,
        logits_BV,
        temperature=how.temperature,
        beta=how.beta,
    )
    q_BV.mul_(hard_B1).add_(slope_BV.mul_(soft_B1))
    return value_B
