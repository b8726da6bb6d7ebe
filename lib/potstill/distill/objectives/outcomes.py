"""Two distributions over the same outcomes, tempered alike and compared.

Temperature belongs to the student's setting, not to what a teacher's store holds. A store of top
tokens has k + 1 outcomes: its k ids, and everything else as one. Both sides are merged into those
outcomes at T = 1, and the k + 1 log-probabilities are then divided by T and normalised again, on
both sides. So the divergence is 0 exactly where the student's probabilities of the outcomes are the
teacher's, it is never negative, and with k = V it is that of the whole tempered distributions.

The limit of that choice: for T > 1 the tail counts as one outcome whose mass is p_tail^(1/T) before
normalisation, where the whole tempered distribution has the sum of p^(1/T) over its many ids, which
is more; its share, and that of the temperature's softening, is understated the more the higher T
and the smaller k. Nothing of the shape inside the tail is learned at any T.

Dimensions: B tokens, O outcomes.
"""

import torch

from potstill.distill.objectives import Divergence


def compare(
    module: Divergence,
    log_p_BO: torch.Tensor,
    log_q_BO: torch.Tensor,
    *,
    temperature: float,
    beta: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the divergence [B] of two distributions at a temperature, and its derivatives [B, O].

    Args:
        module: the divergence.
        log_p_BO: the teacher's log-probabilities or logits: a constant in a row changes nothing.
        log_q_BO: the student's; the derivatives are with respect to these, and a row sums to 0.
        temperature: divides both.
        beta: setting of the divergence.
    """
    log_p_BO, log_q_BO = (_temper(log_BO, temperature) for log_BO in (log_p_BO, log_q_BO))
    value_B, slope_BO = module.divergence(log_p_BO, log_q_BO, beta)
    # through the student's normalisation: d log q_o / d x_u = [o = u] - q_u
    total_B1 = slope_BO.sum(-1, keepdim=True)
    slope_BO = slope_BO.sub_(log_q_BO.exp_().mul_(total_B1))
    if temperature != 1:
        slope_BO = slope_BO.div_(temperature)
    return value_B.clamp_(min=0), slope_BO  # rounding gives -1e-8 where the sides are equal


def _temper(log_BO: torch.Tensor, temperature: float) -> torch.Tensor:
    return torch.log_softmax(log_BO / temperature if temperature != 1 else log_BO, dim=-1)
