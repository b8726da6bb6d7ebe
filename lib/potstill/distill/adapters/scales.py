"""The scales of a start's GGUF blocks, its norms and its biases; the codes stay what they are.

    W = sum over f of (s_f * t_f) * p_f        t [F, R, B] ones at the start; s, p: `hints.scales`

All of it is what a file of that type keeps: scales as half floats, norms and biases as float32. So
what is measured and delivered is what the file computes, to the bit, and training knows the grid. A
start has blocks where `compress` chose codes (method gptq).

Source: Chen et al. 2024 (EfficientQAT, arXiv:2407.11062), section 3.3: the parameters of
quantisation are trained end to end, with the weights frozen as codes.

Dimensions: F half floats of a block, R rows, B blocks of one, L values of a block, X inputs.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from potstill.distill.adapters import vectors
from potstill.distill.recipe import Scales
from potstill.errors import InputError
from potstill.hints import blocks, importance, scales, tensor_types
from potstill.loading.load import CausalLM

TYPE = "POTSTILL_SCALES"  # stored where peft has the name of its method
_OWN = ".scale_factors"
weights = vectors.weights


class Blocked(nn.Module):
    """A linear map whose matrix lies in blocks, with a factor for each half float of them."""

    def __init__(self, base_layer: nn.Linear, blocks_Rn: np.ndarray, kind: str) -> None:
        """Begin with factors of one; the map's own matrix is given up while they take part."""
        super().__init__()
        self.base_layer, self.blocks_Rn, self.kind = base_layer, blocks_Rn, kind
        place = base_layer.weight.device
        self.scales_FRB = torch.from_numpy(scales.read(blocks_Rn, kind)).to(place)
        self.parts_FRBL = torch.from_numpy(scales.parts(blocks_Rn, kind)).to(place)
        self.scale_factors = nn.Parameter(torch.ones_like(self.scales_FRB))
        self.enable(on=True)

    def enable(self, *, on: bool) -> None:
        """Let the factors take part, or the matrix that they were made into."""
        self.enabled, weight = on, self.base_layer.weight
        if on:
            weight.data = weight.new_empty(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [..., X] to [..., R]."""
        if not self.enabled:
            made: torch.Tensor = self.base_layer(x)
            return made
        dtype = self.base_layer.weight.dtype
        found: torch.Tensor = _Product.apply(
            x.to(dtype), self.scale_factors * self.scales_FRB, self.parts_FRBL
        )
        bias = self.base_layer.bias
        return found if bias is None else (found.float() + bias).to(dtype)

    def held(self) -> np.ndarray:
        """Return the blocks with what the factors make of their half floats."""
        made = (self.scale_factors.detach() * self.scales_FRB).cpu().numpy()
        return scales.write(self.blocks_Rn, self.kind, made)


class _Product(torch.autograd.Function):
    """x W^T, where W is made again for the gradient: none is kept from layer to layer."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch has no type
        x: torch.Tensor,
        scales_FRB: torch.Tensor,
        parts_FRBL: torch.Tensor,
    ) -> torch.Tensor:
        ctx.save_for_backward(x, scales_FRB, parts_FRBL)
        return x @ _matrix(scales_FRB, parts_FRBL, x.dtype).T

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401
        *gradients: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, None]:
        x, scales_FRB, parts_FRBL = ctx.saved_tensors
        by_y = gradients[0].to(x.dtype)
        by_x = by_y @ _matrix(scales_FRB, parts_FRBL, x.dtype)
        by_W_RX = (by_y.flatten(0, -2).T @ x.flatten(0, -2)).float()
        by_W_RBL = by_W_RX.view(parts_FRBL.shape[1:])
        by_scales = torch.stack([(by_W_RBL * part_RBL).sum(-1) for part_RBL in parts_FRBL])
        return by_x, by_scales, None


def _matrix(scales_FRB: torch.Tensor, parts_FRBL: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    made_RBL = scales_FRB[0, ..., None] * parts_FRBL[0]
    for scale_RB, part_RBL in zip(scales_FRB[1:], parts_FRBL[1:], strict=True):
        made_RBL += scale_RB[..., None] * part_RBL
    return made_RBL.flatten(1).to(dtype)


def config(adapter: Scales, names: list[str]) -> dict[str, Any]:  # noqa: ARG001 - as lora's
    """Return what is stored of the settings."""
    return {"peft_type": TYPE, "target_modules": sorted(names)}


def settings(config: Mapping[str, Any]) -> Scales:
    """Return the settings that `config` stored."""
    return Scales(kind="scales", targets=config["target_modules"])


def attach(model: CausalLM, adapter: Scales, names: list[str], start: Path) -> None:  # noqa: ARG001 - as lora's
    """Freeze the codes of a model's matrices and give their scales factors, in place.

    Raises:
        InputError: the start has no blocks.
    """
    held = blocks.read(start)
    if not held:
        raise InputError(
            f"adapter.kind is scales, and {start} has no blocks of codes: let it start from a "
            "student of `compressed` (method gptq)"
        )
    types = tensor_types.read(start)
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.ndim == 1)
    for where, module in list(model.named_modules()):
        for name, child in list(module.named_children()):
            known = f"{where}.{name}.weight"
            if name in names and known in held:
                setattr(module, name, Blocked(child, held[known], types[known]))


def owns(name: str) -> bool:
    """Say whether a weight of an adapted model is none of the start's."""
    return name.endswith(_OWN)


def changes(model: CausalLM) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """Return by a matrix's name what puts in its place what its blocks hold."""
    return {f"{name}.weight": partial(_held, layer) for name, layer in _layers(model).items()}


def enable(model: CausalLM, *, on: bool) -> None:
    """Let the factors take part in what the model computes, or not."""
    for layer in _layers(model).values():
        layer.enable(on=on)


def shrink(model: CausalLM, share: float) -> None:
    """Leave a share of what each factor adds to one, in place."""
    for layer in _layers(model).values():
        layer.scale_factors.sub_(1).mul_(share).add_(1)


def leave(model: CausalLM, start: Path, out: Path) -> None:
    """Write beside a checkpoint what lies beside its start, with the blocks as they are by now."""
    layers = _layers(model)
    if not layers:
        return
    made = {f"{name}.weight": layer.held() for name, layer in layers.items()}
    tensor_types.write(out, tensor_types.read(start))
    importance.write(out, importance.read(start))
    blocks.write(out, blocks.read(start) | made)


def _held(layer: Blocked, weight: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(blocks.values(layer.held(), layer.kind)).to(weight)


def _layers(model: CausalLM) -> dict[str, Blocked]:
    return {name: module for name, module in model.named_modules() if isinstance(module, Blocked)}
