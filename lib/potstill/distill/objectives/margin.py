"""A teacher that is made right: wherever the label does not lead by the margin, it is raised.

    p' = (1 - l) p + l e_label,    l = max(0, (m + d) / (1 + d)),    d = max_{j != label} p_j - p_y

Then p'_y - max_{j != label} p'_j is m, or more where the teacher led by more. Everything but the
label keeps its proportions, so what the teacher knows of the other tokens stays. With m = 0 a wrong
teacher becomes undecided, towards 1 it becomes the label. It is done at temperature 1, on the
distribution that a student gives when it is run.

Source: Belcak et al. 2025 (minifinetuning, arXiv:2506.15702), corrected self-distillation. Here one
formula serves right and wrong teachers and is continuous between them; a right teacher that leads
by the margin is left as it is.

Dimensions: N tokens, K tokens kept, V vocabulary.
"""

import torch

from potstill.logits.topk import TopK


def correct(log_p_NV: torch.Tensor, labels_N: torch.Tensor, margin: float) -> torch.Tensor:
    """Return corrected log-probabilities of whole distributions; the argument is changed.

    Args:
        log_p_NV: the teacher's log-probabilities at T = 1.
        labels_N: the right ids.
        margin: 0 <= m < 1, a difference of probabilities.
    """
    label_N1 = labels_N[:, None]
    log_label_N1 = log_p_NV.gather(1, label_N1)
    log_other_N1 = log_p_NV.scatter_(1, label_N1, -torch.inf).amax(-1, keepdim=True)
    share_N1 = _share(log_label_N1, log_other_N1, margin)
    log_label_N1 = torch.logaddexp(log_label_N1 + torch.log1p(-share_N1), share_N1.log())
    return log_p_NV.add_(torch.log1p(-share_N1)).scatter_(1, label_N1, log_label_N1)


def correct_top(teacher: TopK, labels_N: torch.Tensor, margin: float) -> TopK:
    """Return top tokens among which is the label, leading by the margin.

    A label that the teacher did not keep takes the place of the least probable id, which joins the
    tail. The teacher's own probability of it is unknown and taken as 0: an error of at most that
    of the least probable id kept.
    """
    ids_NK, log_p_NK, log_tail_N1 = (
        teacher.ids_NK,
        teacher.log_probs_NK.clone(),
        teacher.log_tail_N[:, None],
    )
    is_label_NK = ids_NK == labels_N[:, None]
    missing_N1 = ~is_label_NK.any(-1, keepdim=True)
    others_NK = log_p_NK.masked_fill(is_label_NK, -torch.inf)
    log_label_N1 = log_p_NK.masked_fill(~is_label_NK, -torch.inf).amax(-1, keepdim=True)
    log_other_N1 = others_NK.amax(-1, keepdim=True)
    # k = 1 and the label is kept: of the others it is known that they are in the tail, and less
    alone_N1 = torch.isinf(log_other_N1)
    log_other_N1 = torch.where(alone_N1, torch.minimum(log_tail_N1, log_label_N1), log_other_N1)
    share_N1 = _share(log_label_N1, log_other_N1, margin)

    least_NK = torch.zeros_like(is_label_NK).scatter_(
        1, log_p_NK.argmin(-1, keepdim=True), value=True
    )
    replaced_NK = least_NK & missing_N1
    log_least_N1 = log_p_NK.amin(-1, keepdim=True)
    log_tail_N1 = torch.where(missing_N1, torch.logaddexp(log_tail_N1, log_least_N1), log_tail_N1)
    kept_N1 = torch.log1p(-share_N1)
    log_label_N1 = torch.logaddexp(log_label_N1 + kept_N1, share_N1.log())
    return TopK(
        torch.where(replaced_NK, labels_N[:, None], ids_NK),
        torch.where(is_label_NK | replaced_NK, log_label_N1, log_p_NK + kept_N1),
        (log_tail_N1 + kept_N1).squeeze(1),
    )


def _share(log_label_N1: torch.Tensor, log_other_N1: torch.Tensor, margin: float) -> torch.Tensor:
    """Return how much of each target is the label alone, 0 <= l < 1."""
    lag_N1 = log_other_N1.exp() - log_label_N1.exp()
    # a teacher that is certain of the label has lag -1, and (m - 1) / 0 is -inf: no correction
    return ((margin + lag_N1) / (1 + lag_N1)).clamp_(min=0)
