"""KL(student || teacher): the student must say nothing that the teacher would not.

Source: Gu et al. 2024 (MiniLLM), section 2, here token by token over given texts, not over texts
that the student wrote. Where the teacher's probability is nearly 0 the loss is large and so are its
gradients: mixed with labels (alpha > 0) or clipped it trains, alone from a bad start it may not.
"""

import torch

SIGNALS = ("outcomes",)


def divergence(
    log_p_NO: torch.Tensor,
    log_q_NO: torch.Tensor,
    beta: float,  # noqa: ARG001
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return sum_o q (log q - log p) and its derivatives (see `Divergence`)."""
    q_NO = log_q_NO.exp()
    terms_NO = (log_q_NO - log_p_NO).mul_(q_NO)
    return terms_NO.sum(-1), terms_NO.add_(q_NO)
