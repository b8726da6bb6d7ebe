"""Direct preference optimisation: of two answers to a prompt the chosen one becomes likelier.

    loss = -log sigmoid(beta ((log c - log c_ref) - (log r - log r_ref)))

A log-likelihood is the sum over an answer's tokens, of the model and of the frozen reference that
it started from, which needs to be asked once only. Make those of the model with
`loading.head.token_nlls`, which can be differentiated and holds one chunk of logits.

Source: Rafailov et al. 2023, eq. 7.

Dimensions: P pairs, N tokens of all answers.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional

from potstill.errors import InputError


@dataclass(frozen=True)
class PreferenceSums:
    """Sums over pairs: divide by their number. Only the loss can be differentiated.

    Attributes:
        loss: in nats; log 2 a pair where the model is the reference.
        margin: reward of the chosen answer less that of the rejected, beta times log-ratios.
        correct: pairs whose margin is above 0.
    """

    loss: torch.Tensor
    margin: torch.Tensor
    correct: torch.Tensor


def preference_loss(
    chosen_P: torch.Tensor,
    rejected_P: torch.Tensor,
    reference_chosen_P: torch.Tensor,
    reference_rejected_P: torch.Tensor,
    *,
    beta: float,
) -> PreferenceSums:
    """Return the loss of pairs of log-likelihoods in nats.

    Args:
        chosen_P: the model's, of the answers that are preferred.
        rejected_P: the model's, of the others.
        reference_chosen_P: the reference's; no gradient goes there.
        reference_rejected_P: the reference's.
        beta: how strongly the reference holds the model, above 0; 0.1 is usual.

    Raises:
        InputError: beta is not above 0, or the numbers of pairs differ.
    """
    if not beta > 0:
        raise InputError(f"beta of preferences is {beta}: it must be above 0")
    shapes = {tuple(x.shape) for x in (chosen_P, rejected_P, reference_chosen_P)}
    if len(shapes | {tuple(reference_rejected_P.shape)}) != 1:
        raise InputError(
            f"chosen {list(chosen_P.shape)}, rejected {list(rejected_P.shape)} and reference "
            f"{list(reference_chosen_P.shape)}, {list(reference_rejected_P.shape)} are not of the "
            "same pairs"
        )
    reference_P = (reference_chosen_P - reference_rejected_P).detach()
    margin_P = beta * (chosen_P - rejected_P - reference_P)
    return PreferenceSums(
        -functional.logsigmoid(margin_P).sum(),
        margin_P.detach().sum(),
        (margin_P > 0).sum(),
    )


def answer_log_likelihoods(nlls_N: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    """Return the log-likelihood [A] of each answer from those of their tokens, one after another.

    Args:
        nlls_N: negative log-likelihoods of the tokens of all answers.
        sizes: number of tokens of each answer; their sum is N.
    """
    parts = nlls_N.split(sizes)
    return -torch.stack([part.sum() for part in parts]) if parts else nlls_N.new_zeros(0)
