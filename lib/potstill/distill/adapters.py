"""Low-rank adapters: a few trained weights beside frozen ones, and the model that they make.

    W x + (alpha / r) B A x        A [r, in] drawn at random, B [out, r] zero at the start

The frozen weights stay in the dtype of the products, the adapter is float32. What is measured and
saved is the model with the products B A added to the start's own weights in float32: an ordinary
checkpoint that needs no adapter.

With `base: nf4` the frozen targets are in 4 bits. Then the adapter has learnt beside the rounded
weights, so these and not the start's are what it is added to.

Sources: Hu et al. 2021 (LoRA, arXiv:2106.09685), by the library peft; Dettmers et al. 2023 (QLoRA,
arXiv:2305.14314), by torchao's NF4 tensors.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from potstill.distill.recipe import Adapter
from potstill.errors import InputError
from potstill.loading import load
from potstill.loading.load import CausalLM
from potstill.models import families
from potstill.params import closest

NAME = "default"  # what peft calls an adapter that has no name
BLOCK, SCALES = 64, 256  # weights that share a scale, scales that share one: as in the paper


def targets(adapter: Adapter, config: Mapping[str, Any], where: Path) -> list[str]:
    """Return the names of the matrices that an adapter changes in each layer.

    Args:
        adapter: its settings; without `targets` it changes all that the family has.
        config: config.json of the model.
        where: the model's folder, for the message.

    Raises:
        InputError: the model's family has no such matrix.
    """
    family = families.of(config, where)
    for name in adapter.targets or ():
        if name not in family.lora_targets:
            raise InputError(
                f"adapter.targets: {where} is of the family {family.model_type}, which has no "
                f"{name!r}; {closest(name, family.lora_targets)}"
            )
    return list(adapter.targets or family.lora_targets)


def attach(model: CausalLM, adapter: Adapter, names: list[str]) -> None:
    """Freeze a model and put adapters into it, in place; A is drawn from torch's seed.

    Raises:
        InputError: a matrix cannot be cut into the blocks of 4 bits.
    """
    from peft import LoraConfig, inject_adapter_in_model

    if adapter.base == "nf4":
        _quantise(model, names)
    config = LoraConfig(
        r=adapter.r,
        lora_alpha=adapter.alpha,  # type: ignore[arg-type] # it is only divided by r
        lora_dropout=adapter.dropout,
        target_modules=names,
    )
    inject_adapter_in_model(config, model, adapter_name=NAME)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def merged(model: CausalLM, start: Path, place: torch.device) -> CausalLM:
    """Return the model that a start becomes by the adapters of `model`, float32.

    The start is read again, so nothing is lost to the dtype in which it was frozen. It lies in
    memory beside `model`.
    """
    from peft.tuners.lora import Linear
    from torchao.quantization import NF4Tensor

    whole = load.trainable(start, place)
    with torch.no_grad():
        for name, module in model.named_modules():
            if not isinstance(module, Linear):
                continue
            weight, frozen = whole.get_submodule(name).weight, module.base_layer.weight
            if isinstance(frozen, NF4Tensor):
                weight.copy_(frozen.get_original_weight())
            weight += module.get_delta_weight(NAME)
    return whole


def _quantise(model: CausalLM, names: list[str]) -> None:
    """Put the matrices of these names into 4 bits, in place."""
    from torchao.quantization import NF4Tensor

    for name, module in model.named_modules():
        if name.rsplit(".", 1)[-1] not in names:
            continue
        blocks, rest = divmod(module.weight.numel(), BLOCK)
        if rest:
            raise InputError(
                f"adapter.base nf4: {name} has {module.weight.numel()} weights, no multiple of "
                f"{BLOCK}: take `base: auto`"
            )
        # scales are rounded too, in blocks of their own, which must be whole as well
        packed = NF4Tensor.from_tensor(module.weight.detach(), BLOCK, math.gcd(blocks, SCALES))
        module.weight = torch.nn.Parameter(packed, requires_grad=False)
