"""Low-rank adapters: a few trained weights beside frozen ones, and the model that they make.

    W x + (alpha / r) B A x        A [r, in] drawn at random, B [out, r] zero at the start

The frozen weights stay in the dtype of the products, the adapter is float32. What is measured and
saved is the model with the products B A added to the start's own weights in float32: an ordinary
checkpoint that needs no adapter. The frozen weights and the float32 ones are never in memory
together.

Source: Hu et al. 2021 (LoRA, arXiv:2106.09685), by the library peft.
"""

import ctypes
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file

from potstill import files
from potstill.distill.recipe import Adapter
from potstill.errors import InputError
from potstill.loading import load
from potstill.loading.load import CausalLM
from potstill.models import checkpoint, families
from potstill.params import closest

if TYPE_CHECKING:
    from peft import LoraConfig

FOLDER = "adapter"  # beside the merged weights
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"  # in it, as peft has them
NAME = "default"  # what peft calls an adapter that has no name


def targets(adapter: Adapter, start: Path) -> list[str]:
    """Return the names of the matrices that an adapter changes in each layer.

    Args:
        adapter: its settings; without `targets` it changes all that the family has.
        start: the model's folder.

    Raises:
        InputError: the model's family has no such matrix.
    """
    family = families.of(checkpoint.read_config(start), start)
    for name in adapter.targets or ():
        if name not in family.lora_targets:
            raise InputError(
                f"adapter.targets: {start} is of the family {family.model_type}, which has no "
                f"{name!r}; {closest(name, family.lora_targets)}"
            )
    return list(adapter.targets or family.lora_targets)


def _config(adapter: Adapter, names: list[str]) -> "LoraConfig":
    from peft import LoraConfig

    return LoraConfig(
        r=adapter.r,
        lora_alpha=adapter.alpha,  # type: ignore[arg-type] # it is only divided by r
        lora_dropout=adapter.dropout,
        target_modules=names,
        task_type="CAUSAL_LM",
    )


def attach(model: CausalLM, adapter: Adapter, names: list[str]) -> None:
    """Freeze a model and put adapters into it, in place; A is drawn from torch's seed."""
    from peft import inject_adapter_in_model

    inject_adapter_in_model(_config(adapter, names), model, adapter_name=NAME)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def merge(model: CausalLM, start: Path, place: torch.device) -> None:
    """Make the adapted model the one that its start becomes by the adapters, float32, in place.

    The start's weights are read again, one at a time, so nothing is lost to the dtype in which they
    were frozen; those are given up before. `unmerge` takes it back.
    """
    layers = _layers(model)
    frozen = weights(model)
    _give_up(frozen)
    with torch.no_grad():
        for name, tensor in checkpoint.tensors(start):
            if name not in frozen:  # a tied head that is stored all the same
                continue
            frozen[name].data = tensor.to(place, torch.float32, copy=True)
            layer = layers.get(name.removesuffix(".weight"))
            if layer is not None:
                frozen[name].data += _product(layer)
    for layer in layers.values():
        layer.enable_adapters(enabled=False)


def unmerge(model: CausalLM, start: Path, place: torch.device, dtype: torch.dtype) -> None:
    """Make a merged model the adapted one again, its frozen weights in a dtype."""
    frozen = weights(model)
    _give_up(frozen)
    for name, tensor in checkpoint.tensors(start):
        if name in frozen:
            frozen[name].data = tensor.to(place, dtype, copy=True)
    for layer in _layers(model).values():
        layer.enable_adapters(enabled=True)


def _product(layer: Any) -> torch.Tensor:  # noqa: ANN401 - peft has no types
    """Return what an adapter adds to its matrix, float32, rounded once."""
    small, large = layer.lora_A[NAME].weight.double(), layer.lora_B[NAME].weight.double()
    return (large @ small * layer.scaling[NAME]).float()


def apply(folder: Path, start: Path, out: Path) -> None:
    """Write the checkpoint that a start becomes by the adapters that `save` wrote.

    Args:
        folder: of the adapters.
        start: the checkpoint that they were trained on.
        out: the checkpoint to write, float32.

    Raises:
        InputError: the folder holds no adapters, or those of a model with other matrices.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise InputError(f"{folder} has no {CONFIG}: it is no adapter of peft's")
    config = files.read_json(path)
    adapter = Adapter(r=config["r"], alpha=config["lora_alpha"], targets=config["target_modules"])
    model = load.causal_lm(start, torch.float32, torch.device("cpu"))
    attach(model, adapter, targets(adapter, start))
    stored = load_file(folder / WEIGHTS)
    into = {_stored_name(name): weight for name, weight in _small(model).items()}
    wrong = sorted(
        name for name in {*stored, *into}
        if name not in stored or name not in into or stored[name].shape != into[name].shape
    )  # fmt: skip
    if wrong:
        raise InputError(f"{folder} is of another model than {start}: {wrong[0]} does not fit")
    with torch.no_grad():
        for name, weight in into.items():
            weight.copy_(stored[name])
    merge(model, start, torch.device("cpu"))
    checkpoint.write(out, weights(model), checkpoint.read_config(start), beside=start)


def save(model: CausalLM, adapter: Adapter, names: list[str], out: Path) -> None:
    """Write the adapters of a model as peft does, so that `PeftModel.from_pretrained` takes them.

    Args:
        model: with adapters, merged or not.
        adapter: their settings.
        names: the matrices that they change.
        out: the folder to make, of CONFIG and WEIGHTS (float32).
    """
    out.mkdir()
    config = {**_config(adapter, names).to_dict(), "inference_mode": True}
    files.write_json(out / CONFIG, {**config, "target_modules": sorted(names)})
    small = {_stored_name(name): weight.detach().cpu() for name, weight in _small(model).items()}
    save_file(small, out / WEIGHTS, metadata={"format": "pt"})


def _small(model: CausalLM) -> dict[str, torch.nn.Parameter]:
    """Return the weights of the adapters."""
    return {name: weight for name, weight in model.named_parameters() if ".lora_" in name}


def _stored_name(name: str) -> str:
    """Return the name that peft stores an adapter's weight under."""
    return "base_model.model." + name.replace(f".{NAME}.", ".")


def weights(model: CausalLM) -> dict[str, torch.nn.Parameter]:
    """Return the weights of the model without its adapters, by the names that the start has."""
    return {
        name.replace(".base_layer.", "."): weight
        for name, weight in model.named_parameters()
        if ".lora_" not in name
    }


def _give_up(frozen: Mapping[str, torch.nn.Parameter]) -> None:
    """Free weights, so that the system has their memory before others are read.

    glibc keeps what is freed below 32 MB, which most matrices are, until it is told.
    """
    for weight in frozen.values():
        weight.data = weight.new_empty(0)
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def _layers(model: CausalLM) -> dict[str, Any]:
    """Return the matrices that have an adapter, by name."""
    from peft.tuners.lora import Linear

    return {name: module for name, module in model.named_modules() if isinstance(module, Linear)}
