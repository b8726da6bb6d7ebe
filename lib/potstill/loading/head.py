"""Logits of a model's head, a chunk of tokens at a time: [tokens, vocabulary] is never held.

Dimensions: N tokens, C tokens of a chunk, D width, V vocabulary.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

CHUNK_TOKENS = 256  # 50 MB of float32 logits at 49,152 ids; products gain little from more
# Softmax and what follows walk a block several times: on a CPU it should stay in the cache. Smaller
# ones are no faster, and threads wait for each other more often.
BLOCK_BYTES = 8 << 20

T = TypeVar("T")


def product_dtype(factor: torch.Tensor) -> torch.dtype:
    """Return the dtype of a product with a tensor: autocast's where it is on, else the tensor's.

    float64 is left alone, as autocast leaves it.
    """
    place = factor.device.type
    if torch.is_autocast_enabled(place) and factor.dtype != torch.float64:
        return torch.get_autocast_dtype(place)
    return factor.dtype


def blocks(logits_CV: torch.Tensor, dtype: torch.dtype) -> Iterator[slice]:
    """Yield the rows that are worked on at a time in a dtype: all at once where no cache helps."""
    count, width = logits_CV.shape
    on_cpu = logits_CV.device.type == "cpu"
    rows = max(1, BLOCK_BYTES // (width * dtype.itemsize)) if on_cpu else max(1, count)
    for begin in range(0, count, rows):
        yield slice(begin, min(begin + rows, count))


def map_logits(
    function: Callable[[torch.Tensor, slice], T],
    hidden_ND: torch.Tensor,
    head: torch.nn.Linear,
    *,
    chunk_tokens: int = CHUNK_TOKENS,
) -> list[T]:
    """Return what a function makes of each chunk of logits, in order; nothing is differentiated.

    Args:
        function: takes logits [C, V] in the dtype of the product and the chunk's place in N; what
            it returns should not hold the logits.
        hidden_ND: last hidden states.
        head: maps them to logits.
        chunk_tokens: tokens whose logits exist at a time.
    """
    with torch.no_grad():
        # Once, not once a chunk: autocast itself keeps no copy of a weight that is frozen.
        dtype = product_dtype(head.weight)
        weight_VD = head.weight.to(dtype)
        bias_V = head.bias.to(dtype) if head.bias is not None else None
        found = []
        for start in range(0, len(hidden_ND), chunk_tokens):
            part = slice(start, start + chunk_tokens)
            logits_CV = functional.linear(hidden_ND[part].to(dtype), weight_VD, bias_V)
            found.append(function(logits_CV, part))
    return found


def token_nlls(
    hidden_ND: torch.Tensor,
    head: torch.nn.Linear,
    labels_N: torch.Tensor,
    *,
    chunk_tokens: int = CHUNK_TOKENS,
) -> torch.Tensor:
    """Return the negative log-likelihood of each label [N] in nats, float32.

    Where gradients are on, the backward pass makes each chunk's logits again, since only then it
    knows what every token weighs (the loss of preference pairs); see `distill.head` for a loss
    whose weights are known.
    """
    needed = hidden_ND.requires_grad or any(p.requires_grad for p in head.parameters())
    if torch.is_grad_enabled() and needed:
        parts = [
            checkpoint(_nlls, h, head, y, use_reentrant=False)
            for h, y in zip(
                hidden_ND.split(chunk_tokens), labels_N.split(chunk_tokens), strict=True
            )
        ]
    else:
        parts = map_logits(
            lambda logits_CV, part: _cross_entropy(logits_CV, labels_N[part]),
            hidden_ND,
            head,
            chunk_tokens=chunk_tokens,
        )
    return torch.cat(parts) if parts else hidden_ND.new_zeros(0, dtype=torch.float32)


def _nlls(hidden_CD: torch.Tensor, head: torch.nn.Linear, labels_C: torch.Tensor) -> torch.Tensor:
    return _cross_entropy(head(hidden_CD), labels_C)


def _cross_entropy(logits_CV: torch.Tensor, labels_C: torch.Tensor) -> torch.Tensor:
    exact = logits_CV if logits_CV.dtype == torch.float64 else logits_CV.float()
    return functional.cross_entropy(exact, labels_C, reduction="none").float()
