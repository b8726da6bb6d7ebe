"""Low-rank adapters: W x + (alpha / r) B A x, A [r, in] drawn at random, B [out, r] zero at first.

Source: Hu et al. 2021 (LoRA, arXiv:2106.09685), by the library peft.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from potstill.distill.recipe import LowRank
from potstill.loading.load import CausalLM

if TYPE_CHECKING:
    from peft import LoraConfig

TYPE = "LORA"  # as peft names it
NAME = "default"  # what peft calls an adapter that has no name


def _config(adapter: LowRank, names: list[str]) -> "LoraConfig":
    from peft import LoraConfig

    return LoraConfig(
        r=adapter.r,
        lora_alpha=adapter.alpha,  # type: ignore[arg-type] # it is only divided by r
        lora_dropout=adapter.dropout,
        target_modules=names,
        task_type="CAUSAL_LM",
    )


def config(adapter: LowRank, names: list[str]) -> dict[str, Any]:
    """Return what is stored of the settings: peft's own."""
    found = {**_config(adapter, names).to_dict(), "inference_mode": True}
    return {**found, "target_modules": sorted(names)}


def settings(config: Mapping[str, Any]) -> LowRank:
    """Return the settings that `config` stored."""
    names = config["target_modules"]
    return LowRank(kind="lora", r=config["r"], alpha=config["lora_alpha"], targets=names)


def attach(model: CausalLM, adapter: LowRank, names: list[str], start: Path) -> None:  # noqa: ARG001 - as scales'
    """Freeze a model and put adapters into it, in place; A is drawn from torch's seed."""
    from peft import inject_adapter_in_model

    inject_adapter_in_model(_config(adapter, names), model, adapter_name=NAME)


def owns(name: str) -> bool:
    """Say whether a weight of an adapted model is the adapter's."""
    return ".lora_" in name


def weights(model: CausalLM) -> dict[str, torch.nn.Parameter]:
    """Return the weights of the adapters, by the names that peft stores them under."""
    return {
        "base_model.model." + name.replace(f".{NAME}.", "."): weight
        for name, weight in model.named_parameters()
        if owns(name)
    }


def changes(model: CausalLM) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    """Return by a matrix's name what adds its adapter's product to it."""
    found = _layers(model).items()
    return {f"{name}.weight": partial(_added, layer) for name, layer in found}


def enable(model: CausalLM, *, on: bool) -> None:
    """Let the adapters take part in what the model computes, or not."""
    for layer in _layers(model).values():
        layer.enable_adapters(enabled=on)


def shrink(model: CausalLM, share: float) -> None:
    """Leave a share of each product, in place."""
    for layer in _layers(model).values():
        layer.lora_B[NAME].weight.mul_(share)


def leave(model: CausalLM, start: Path, out: Path) -> None:
    """Write nothing: what lay beside the start was of weights that are others by now."""


def _added(layer: Any, weight: torch.Tensor) -> torch.Tensor:  # noqa: ANN401 - as `product`
    return weight + product(layer)


def product(layer: Any) -> torch.Tensor:  # noqa: ANN401 - peft has no types
    """Return what an adapter adds to its matrix, float32, rounded once."""
    with torch.no_grad():
        small, large = layer.lora_A[NAME].weight.double(), layer.lora_B[NAME].weight.double()
        return (large @ small * layer.scaling[NAME]).float()


def _layers(model: CausalLM) -> dict[str, Any]:
    """Return the matrices that have an adapter, by name."""
    from peft.tuners.lora import Linear

    return {name: module for name, module in model.named_modules() if isinstance(module, Linear)}
