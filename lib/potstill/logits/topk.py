"""A teacher's distribution cut to its most probable tokens, and the mass of the rest.

Dimensions: N tokens, V vocabulary, K tokens kept.
"""

from dataclasses import dataclass

import torch

MIN_LOG_PROBABILITY = -1e4  # of an empty tail: exp() of it is 0 in every dtype


@dataclass(frozen=True)
class TopK:
    """A teacher's distribution at temperature T, cut to its most probable tokens.

    Attributes:
        ids_NK: int64 token ids.
        log_probs_NK: float32, log-probabilities at T.
        log_tail_N: float32, log of the probability of all other tokens at T.
    """

    ids_NK: torch.Tensor
    log_probs_NK: torch.Tensor
    log_tail_N: torch.Tensor

    def rows(self, chosen: slice) -> "TopK":
        """Return the distribution of some of the tokens."""
        return TopK(self.ids_NK[chosen], self.log_probs_NK[chosen], self.log_tail_N[chosen])


def truncate(logits_NV: torch.Tensor, k: int, temperature: float) -> TopK:
    """Return the teacher's top k at a temperature, with the exact mass of the rest."""
    log_probs_NV = torch.log_softmax(logits_NV.float() / temperature, dim=-1)
    k = min(k, logits_NV.shape[-1])
    top = torch.topk(log_probs_NV, k, dim=-1)
    rest_NV = log_probs_NV.scatter(-1, top.indices, float("-inf"))
    tail_N = torch.logsumexp(rest_NV, dim=-1).clamp(min=MIN_LOG_PROBABILITY)
    return TopK(top.indices, top.values, tail_N)
