"""A teacher's distribution cut to its most probable tokens, and the mass of the rest.

Everything is at temperature 1: a temperature is a setting of whoever learns, and log-probabilities
at T = 1 give those at any other.

Dimensions: N tokens, V vocabulary, K tokens kept.
"""

from dataclasses import dataclass

import torch

MIN_LOG_PROBABILITY = -1e4  # of an empty tail: exp() of it is 0 in every dtype


@dataclass(frozen=True)
class TopK:
    """A teacher's distribution at temperature 1, cut to its most probable tokens.

    Attributes:
        ids_NK: int64 token ids, all different in a row.
        log_probs_NK: float32, log-probabilities.
        log_tail_N: float32, log of the probability of all other tokens.
    """

    ids_NK: torch.Tensor
    log_probs_NK: torch.Tensor
    log_tail_N: torch.Tensor

    def rows(self, chosen: slice) -> "TopK":
        """Return the distribution of some of the tokens."""
        return TopK(self.ids_NK[chosen], self.log_probs_NK[chosen], self.log_tail_N[chosen])

    def to(self, device: torch.device) -> "TopK":
        """Return the distribution on a device."""
        return TopK(
            self.ids_NK.to(device), self.log_probs_NK.to(device), self.log_tail_N.to(device)
        )


def truncate(logits_NV: torch.Tensor, k: int) -> TopK:
    """Return the teacher's top k with the exact mass of the rest.

    A head that is padded beyond the tokenizer's ids has mass there that no student can have: cut
    `logits_NV` to the ids that both sides have before.
    """
    log_probs_NV = torch.log_softmax(logits_NV.float(), dim=-1)
    k = min(k, logits_NV.shape[-1])
    top = torch.topk(log_probs_NV, k, dim=-1)
    rest_NV = log_probs_NV.scatter(-1, top.indices, float("-inf"))
    tail_N = torch.logsumexp(rest_NV, dim=-1).clamp(min=MIN_LOG_PROBABILITY)
    return TopK(top.indices, top.values, tail_N)
