"""Tokens drawn from a teacher: an unbiased stand-in for its whole distribution in few bytes.

Source: Anshumann et al. 2025, "Sparse Logit Sampling": ids drawn with replacement at temperature 1,
weighted by how often each came up, give the gradient of the full forward KL in expectation, where
the most probable tokens alone give another one.

Dimensions: N tokens, S different ids drawn for the token that has most of them.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Sampled:
    """Ids that were drawn from a teacher at temperature 1, each with its share of the draws.

    Attributes:
        ids_NS: int64 token ids, all different in a row but for the padding, which is 0.
        weights_NS: float32, count / number of draws: a row sums to 1; 0 for the padding.
    """

    ids_NS: torch.Tensor
    weights_NS: torch.Tensor

    def rows(self, chosen: slice) -> "Sampled":
        """Return the draws of some of the tokens."""
        return Sampled(self.ids_NS[chosen], self.weights_NS[chosen])

    def to(self, device: torch.device) -> "Sampled":
        """Return the draws on a device."""
        return Sampled(self.ids_NS.to(device), self.weights_NS.to(device))
