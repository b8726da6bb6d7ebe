"""KL(teacher || student): the student must give mass to all that the teacher may say.

Source: Hinton et al. 2015, section 2. Its gradient is that of the teacher's cross-entropy, so
tokens drawn from the teacher estimate it without bias.
"""

import torch

SIGNALS = ("outcomes", "samples")


def divergence(
    log_p_NO: torch.Tensor,
    log_q_NO: torch.Tensor,
    beta: float,  # noqa: ARG001
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return sum_o p (log p - log q) and its derivatives -p (see `Divergence`)."""
    p_NO = log_p_NO.exp()
    value_N = (log_p_NO - log_q_NO).mul_(p_NO).sum(-1)
    return value_N, p_NO.neg_()
