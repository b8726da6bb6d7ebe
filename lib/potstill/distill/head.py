"""A loss over a head's logits with its gradients, in one pass over chunks of tokens.

For each chunk the logits are made once, turned into the derivatives of the loss in place, and
multiplied into the gradients of hidden states and weight. The backward pass only hands these out,
scaled: there is no second forward of the head, and [tokens, vocabulary] is never held. Memory is
chunk_tokens * V for logits, and the gradients.

Products are computed in autocast's dtype where it is on, softmax and sums in float32 (float64 where
the logits are), and the weight's gradient is summed over chunks in float32.

Source: the scheme is that of Liger-Kernel's chunked losses (Hsu et al. 2024, arXiv:2410.10989).

Dimensions: N tokens, C tokens of a chunk, B tokens of a block, D width, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from potstill.loading.head import blocks, product_dtype

TILE_ROWS = 8192  # of the weight, whose gradient is added to float32 while it is in the cache

# (logits_BV, their place in N) -> (sums of a block, derivatives [B, V] of the first of them)
Block = Callable[[torch.Tensor, slice], tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class _Plan:
    block: Block
    num_sums: int
    chunk_tokens: int
    dtype: torch.dtype  # of products
    exact: torch.dtype  # of sums
    wanted: tuple[bool, bool, bool]  # gradients of hidden states, weight, bias


def fused(
    hidden_ND: torch.Tensor,
    head: torch.nn.Linear,
    block: Block,
    *,
    num_sums: int,
    chunk_tokens: int,
) -> tuple[torch.Tensor, ...]:
    """Return sums over all tokens; the first can be differentiated, once.

    Args:
        hidden_ND: hidden states; with N = 0 all sums and gradients are 0.
        head: maps them to logits; only what requires a gradient gets one.
        block: what is summed, and the derivatives of its first sum.
        num_sums: how many sums a block returns.
        chunk_tokens: tokens whose logits exist at a time.
    """
    inputs = (hidden_ND, head.weight, head.bias)
    on = torch.is_grad_enabled()
    first, second, third = (on and x is not None and x.requires_grad for x in inputs)
    dtype = product_dtype(head.weight)
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    plan = _Plan(block, num_sums, chunk_tokens, dtype, exact, (first, second, third))
    return _Fused.apply(*inputs, plan)


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's context has no type
        hidden_ND: torch.Tensor,
        weight_VD: torch.Tensor,
        bias_V: torch.Tensor | None,
        plan: _Plan,
    ) -> tuple[torch.Tensor, ...]:
        with torch.autocast(hidden_ND.device.type, enabled=False):
            sums, ctx.gradients = _walk(hidden_ND, weight_VD, bias_V, plan)
        ctx.mark_non_differentiable(*sums[1:])
        ctx.set_materialize_grads(False)
        return tuple(sums)

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401
        scale: torch.Tensor | None,
        *_: torch.Tensor | None,
    ) -> tuple[torch.Tensor | None, ...]:
        # Given away, so that a parameter takes the tensor as its gradient instead of a copy of it.
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            raise RuntimeError("this loss can be differentiated once: compute it again")
        if scale is None:
            return None, None, None, None
        return (*(g.mul_(scale) if g is not None else None for g in gradients), None)


def _walk(
    hidden_ND: torch.Tensor, weight_VD: torch.Tensor, bias_V: torch.Tensor | None, plan: _Plan
) -> tuple[list[torch.Tensor], list[torch.Tensor | None]]:
    """Return the sums and the gradients that are wanted."""
    hidden, weight = hidden_ND.to(plan.dtype), weight_VD.to(plan.dtype)
    bias = bias_V.to(plan.dtype) if bias_V is not None else None
    to_hidden = torch.empty_like(hidden_ND) if plan.wanted[0] else None
    to_weight = torch.empty_like(weight_VD, dtype=plan.exact) if plan.wanted[1] else None
    to_bias = weight.new_zeros(len(weight), dtype=plan.exact) if plan.wanted[2] else None
    sums = torch.zeros(plan.num_sums, dtype=plan.exact, device=hidden.device)
    size = min(plan.chunk_tokens, len(hidden))
    buffer_CV = hidden.new_empty(size, len(weight))
    for start in range(0, len(hidden), max(size, 1)):
        rows = hidden[start : start + size]
        z_CV = buffer_CV[: len(rows)]
        if bias is None:
            torch.mm(rows, weight.t(), out=z_CV)
        else:
            torch.addmm(bias, rows, weight.t(), out=z_CV)
        for part in blocks(z_CV, plan.exact):
            place = slice(start + part.start, start + part.stop)
            added, slope_BV = plan.block(z_CV[part], place)
            sums += added
            z_CV[part] = slope_BV
        if to_hidden is not None:
            to_hidden[start : start + size] = torch.mm(z_CV, weight)
        if to_weight is not None:
            _add_product(to_weight, z_CV, rows, first=start == 0)
        if to_bias is not None:
            to_bias += z_CV.sum(0, dtype=plan.exact)
    if to_weight is not None and len(hidden) == 0:
        to_weight.zero_()
    return list(sums.unbind()), [to_hidden, to_weight, to_bias]


def _add_product(
    sum_VD: torch.Tensor, z_CV: torch.Tensor, rows_CD: torch.Tensor, *, first: bool
) -> None:
    """Add z^T rows to a sum that may be in a wider dtype than both; the first is written over."""
    if sum_VD.dtype == z_CV.dtype:
        sum_VD.addmm_(z_CV.t(), rows_CD, beta=0 if first else 1)
        return
    for tile_RD, z_CR in zip(sum_VD.split(TILE_ROWS), z_CV.split(TILE_ROWS, dim=1), strict=True):
        product_RD = torch.mm(z_CR.t(), rows_CD)
        tile_RD.copy_(product_RD) if first else tile_RD.add_(product_RD)
