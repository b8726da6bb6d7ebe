"""RMSNorm while weights are trained: one operation that keeps its input and a number a token.

transformers computes it in six operations, of which each keeps what its gradient needs, in float32;
under autocast every projection that reads the norm then keeps a rounded copy of its own. Here what
is given out is in the dtype of products already, once for all that read it. Without gradients
transformers' own code runs.

Dimensions: any number of tokens, D width.
"""

from functools import cache
from typing import Any

import torch

from potstill.loading.head import product_dtype

# the norms of `models.families`: all compute x / sqrt(mean(x^2) + eps) * weight
CLASSES = ("LlamaRMSNorm", "MistralRMSNorm", "Qwen2RMSNorm", "Qwen3RMSNorm")


def lighten(model: torch.nn.Module) -> None:
    """Let the norms of a model of transformers be computed so, in place; weights stay as named."""
    for module in model.modules():
        if type(module).__name__ in CLASSES:
            module.__class__ = _light(type(module))  # type: ignore[arg-type] # a class can be hashed


@cache
def _light(plain: type) -> type:
    """Return a norm's class with another `forward`.

    A method bound to the norm would do, but make it a cycle: its weight, a view of the whole mapped
    file, would keep that in memory until the collector comes.
    """

    def forward(module: Any, hidden: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
        if not torch.is_grad_enabled():
            made: torch.Tensor = plain.forward(module, hidden)  # type: ignore[attr-defined]
            return made
        return rms_norm(hidden, module.weight, module.variance_epsilon)

    return type(f"Light{plain.__name__}", (plain,), {"forward": forward})


def rms_norm(hidden: torch.Tensor, weight_D: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Return hidden / sqrt(mean(hidden^2) + epsilon) * weight in the dtype of products."""
    normed: torch.Tensor = _RmsNorm.apply(hidden, weight_D, epsilon, product_dtype(hidden))
    return normed


class _RmsNorm(torch.autograd.Function):
    """Sums in float32, or float64 where the input is."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's context has no type
        hidden: torch.Tensor,
        weight_D: torch.Tensor,
        epsilon: float,
        dtype: torch.dtype,
    ) -> torch.Tensor:
        exact = torch.promote_types(hidden.dtype, torch.float32)
        length = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True, dtype=exact)
        scale = length.square_().div_(hidden.shape[-1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(hidden, weight_D, scale)
        return torch.mul(hidden, scale).mul_(weight_D).to(dtype)

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401
        slope: torch.Tensor,
    ) -> tuple[torch.Tensor | None, ...]:
        hidden, weight_D, scale = ctx.saved_tensors
        unit, slope = torch.mul(hidden, scale), slope.to(scale.dtype)
        to_weight = None
        if ctx.needs_input_grad[1]:
            to_weight = (slope * unit).flatten(0, -2).sum(0).to(weight_D.dtype)
        along = slope * weight_D
        share = torch.linalg.vecdot(along, unit).div_(hidden.shape[-1]).unsqueeze(-1)
        to_hidden = along.addcmul_(unit, share, value=-1).mul_(scale).to(hidden.dtype)
        return to_hidden, to_weight, None, None
