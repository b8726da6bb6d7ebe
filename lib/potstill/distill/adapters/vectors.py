"""What a model has one number a channel of: its norms, its biases, and a factor for each row of W.

    s * (W x) + b        s [out] ones at the start

A norm and a bias are kept in float32 by GGUF at every quantisation, and a row of W times s is the
same whole numbers of 4 bits with their scales times s: a file of 4 bits keeps what was learnt,
which it does not of a product of low rank (docs/coder.md).

Sources: Ben Zaken et al. 2022 (BitFit, arXiv:2106.10199); Zhao et al. 2023 (norms,
arXiv:2312.11420); Liu et al. 2022 (IA3, arXiv:2205.05638), which scales what W gives as s does.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from potstill.distill.recipe import Vectors
from potstill.loading.load import CausalLM

TYPE = "POTSTILL_VECTORS"  # stored where peft has the name of its method
_OWN = ".row_factors"


class Scaled(nn.Module):
    """A linear map with a factor for each of its outputs, before the bias."""

    def __init__(self, base_layer: nn.Linear) -> None:
        """Begin with ones, in float32."""
        super().__init__()
        self.base_layer = base_layer
        self.row_factors = nn.Parameter(torch.ones_like(base_layer.weight[:, 0]).float())
        self.enabled = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map [..., in] to [..., out]; sums and products with one axis are made in float32."""
        made = functional.linear(x, self.base_layer.weight)
        found = made.float()
        if self.enabled:
            found = found * self.row_factors
        if self.base_layer.bias is not None:
            found = found + self.base_layer.bias
        return found.to(made.dtype)


def config(adapter: Vectors, names: list[str]) -> dict[str, Any]:  # noqa: ARG001 - as lora's
    """Return what is stored of the settings."""
    return {"peft_type": TYPE, "target_modules": sorted(names)}


def settings(config: Mapping[str, Any]) -> Vectors:
    """Return the settings that `config` stored."""
    return Vectors(kind="vectors", targets=config["target_modules"])


def attach(model: CausalLM, adapter: Vectors, names: list[str], start: Path) -> None:  # noqa: ARG001 - as scales'
    """Freeze the matrices of a model and give those of some names factors, in place."""
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.ndim == 1)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if name in names and isinstance(child, nn.Linear):
                setattr(module, name, Scaled(child))


def owns(name: str) -> bool:
    """Say whether a weight of an adapted model is none of the start's."""
    return name.endswith(_OWN)


def weights(model: CausalLM) -> dict[str, nn.Parameter]:
    """Return all that is trained, by the name that it is stored under."""
    return {
        name.replace(".base_layer.", "."): weight
        for name, weight in model.named_parameters()
        if weight.requires_grad
    }


def changes(model: CausalLM) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """Return by a matrix's name what multiplies its rows by their factors."""
    return {f"{name}.weight": partial(_scaled, layer) for name, layer in _layers(model).items()}


def enable(model: CausalLM, *, on: bool) -> None:
    """Let the factors take part in what the model computes, or not."""
    for layer in _layers(model).values():
        layer.enabled = on


def shrink(model: CausalLM, share: float) -> None:
    """Leave a share of what each factor adds to one, in place."""
    for layer in _layers(model).values():
        layer.row_factors.sub_(1).mul_(share).add_(1)


def leave(model: CausalLM, start: Path, out: Path) -> None:
    """Write nothing: what lay beside the start was of weights that are others by now."""


def _scaled(layer: Scaled, weight: torch.Tensor) -> torch.Tensor:
    return weight * layer.row_factors.detach()[:, None]


def _layers(model: CausalLM) -> dict[str, Scaled]:
    return {name: module for name, module in model.named_modules() if isinstance(module, Scaled)}
