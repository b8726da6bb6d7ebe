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

    def narrowed(self, k: int) -> "TopK":
        """Return the distribution with only the k most probable ids; the others join the tail."""
        if k >= self.ids_NK.shape[-1]:
            return self
        order_NK = self.log_probs_NK.argsort(dim=-1, descending=True, stable=True)
        kept_NK, cut_NK = order_NK[:, :k], order_NK[:, k:]
        cut_N = self.log_probs_NK.gather(1, cut_NK).logsumexp(-1)
        return TopK(
            self.ids_NK.gather(1, kept_NK),
            self.log_probs_NK.gather(1, kept_NK),
            torch.logaddexp(self.log_tail_N, cut_N),
        )

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
    num_ids = logits_NV.shape[-1]
    k = min(k, num_ids)
    best = torch.topk(logits_NV, min(k + 1, num_ids), dim=-1)
    ids_NK, best_NO = best.indices[:, :k], best.values.float()
    below_NO = best_NO - best_NO[:, :1]  # differences lose nothing where all logits are large
    # one exp of each id, relative to the tail's largest: however small it is, nothing underflows
    level_N1 = best_NO[:, -1:].clamp(min=torch.finfo(torch.float32).min)
    rest_NV = logits_NV.to(torch.float32, copy=True).sub_(level_N1).exp_().scatter_(-1, ids_NK, 0)
    tail_N1 = rest_NV.sum(-1, keepdim=True).log_().add_(below_NO[:, -1:])
    kept_NK = below_NO[:, :k]
    norm_N1 = torch.cat([kept_NK, tail_N1], -1).logsumexp(-1, keepdim=True)
    tail_N = (tail_N1 - norm_N1).squeeze(1).clamp_(min=MIN_LOG_PROBABILITY)
    return TopK(ids_NK, kept_NK - norm_N1, tail_N)
