"""Generalised Jensen-Shannon divergence: both sides are compared with their mixture.

    m = beta p + (1 - beta) q
    beta KL(p || m) + (1 - beta) KL(q || m)        p the teacher, q the student, 0 < beta < 1

Never above the entropy of (beta, 1 - beta), so no token dominates a batch. Divided by beta it tends
to the forward KL as beta goes to 0, by 1 - beta to the reverse KL as beta goes to 1.

Source: Agarwal et al. 2024 (GKD, arXiv:2306.13649), eq. 1.
"""

import math

import torch

SIGNALS = ("outcomes",)


def divergence(
    log_p_NO: torch.Tensor, log_q_NO: torch.Tensor, beta: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the divergence and its derivatives (1 - beta) q (log q - log m) (see `Divergence`)."""
    log_m_NO = torch.logaddexp(log_p_NO + math.log(beta), log_q_NO + math.log1p(-beta))
    of_teacher_NO = (log_p_NO - log_m_NO).mul_(log_p_NO.exp()).mul_(beta)
    of_student_NO = (log_q_NO - log_m_NO).mul_(log_q_NO.exp()).mul_(1 - beta)
    return of_teacher_NO.add_(of_student_NO).sum(-1), of_student_NO
