"""A few trained weights in a frozen model, and the ordinary model that they make.

    lora      A and B of W x + (alpha / r) B A x: any change of low rank
    vectors   norms, biases, and factors of rows of matrices: a change that outlives 4 bits
    scales    norms, biases, and the scales of blocks of codes: a change that 4 bits hold

The frozen weights stay in the dtype of the products, what is trained is float32. What is measured
and saved is the model with what was learnt put into the start's own weights in float32: an ordinary
checkpoint that needs no adapter. The frozen weights and the float32 ones are never in memory
together.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file

from potstill import files
from potstill.distill.recipe import Adapter
from potstill.errors import InputError
from potstill.loading import device, load
from potstill.loading.load import CausalLM
from potstill.models import checkpoint, families
from potstill.params import closest
from potstill.registry import Registry

FOLDER = "adapter"  # beside the merged weights
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"  # in it, as peft has them


class Kind(Protocol):
    """A module of the registry; what asks for no adapter answers of a model without any, too."""

    TYPE: str  # stored where peft has the name of its method

    def attach(self, model: CausalLM, adapter: Adapter, names: list[str], start: Path) -> None:
        """Freeze a model and put an adapter into it, in place; what is drawn is by torch's seed."""
        ...

    def owns(self, name: str) -> bool:
        """Say whether a weight of an adapted model is the adapter's and none of the start's."""
        ...

    def weights(self, model: CausalLM) -> dict[str, torch.nn.Parameter]:
        """Return all that is trained, by the name that it is stored under."""
        ...

    def changes(self, model: CausalLM) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
        """Return by a matrix's name what makes of it what the adapter makes of it."""
        ...

    def enable(self, model: CausalLM, *, on: bool) -> None:
        """Let the adapter take part in what the model computes, or not."""
        ...

    def shrink(self, model: CausalLM, share: float) -> None:
        """Leave a share of what the adapter does to each matrix, in place."""
        ...

    def leave(self, model: CausalLM, start: Path, out: Path) -> None:
        """Write beside a checkpoint what lay beside its start and holds of it too."""
        ...

    def config(self, adapter: Adapter, names: list[str]) -> dict[str, Any]:
        """Return what is stored of the settings."""
        ...

    def settings(self, config: Mapping[str, Any]) -> Adapter:
        """Return the settings that `config` stored."""
        ...


KINDS: Registry[Kind] = Registry(
    "kind of adapter",
    {
        "lora": "potstill.distill.adapters.lora",
        "vectors": "potstill.distill.adapters.vectors",
        "scales": "potstill.distill.adapters.scales",
    },
)


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
    return list(family.lora_targets if adapter.targets is None else adapter.targets)


def attach(model: CausalLM, adapter: Adapter, names: list[str], start: Path) -> None:
    """Freeze a model and put an adapter into it, in place; what is drawn is by torch's seed.

    Raises:
        InputError: the start is none that it fits.
    """
    KINDS[adapter.kind].attach(model, adapter, names, start)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def interpolate(model: CausalLM, start: Path, share: float) -> None:
    """Bring what is trained back to a share of its way from the start, in place.

    A share of 0 gives the start's own weights their exact values, which a dtype had rounded.

    Source: Wortsman et al. 2022 (WiSE-FT, arXiv:2109.01903), equation 1.

    Args:
        model: not merged; with an adapter or without.
        start: what it was trained from.
        share: 1 leaves it as it is.
    """
    own = {name: weight for name, weight in weights(model).items() if weight.requires_grad}
    with torch.no_grad():
        for name, tensor in checkpoint.tensors(start) if own else ():
            if name in own:
                own[name].copy_(torch.lerp(tensor.to(own[name]), own[name], share))
        for kind in KINDS.values():
            kind.shrink(model, share)


def merge(model: CausalLM, start: Path, place: torch.device) -> None:
    """Make the adapted model the one that its start becomes by the adapter, float32, in place.

    The start's weights are read again, one at a time, so nothing is lost to the dtype in which they
    were frozen; those are given up before. `unmerge` takes it back.
    """
    frozen = _frozen(model)
    _give_up(frozen)
    changes = {name: of for kind in KINDS.values() for name, of in kind.changes(model).items()}
    with torch.no_grad():
        for name, tensor in checkpoint.tensors(start):
            if name not in frozen:  # a tied head that is stored all the same, or what is trained
                continue
            exact = tensor.to(place, torch.float32, copy=True)
            frozen[name].data = changes[name](exact) if name in changes else exact
    for kind in KINDS.values():
        kind.enable(model, on=False)


def unmerge(model: CausalLM, start: Path, place: torch.device, dtype: torch.dtype) -> None:
    """Make a merged model the adapted one again, its frozen weights in a dtype."""
    frozen = _frozen(model)
    _give_up(frozen)
    for name, tensor in checkpoint.tensors(start):
        if name in frozen:
            frozen[name].data = tensor.to(place, dtype, copy=True)
    for kind in KINDS.values():
        kind.enable(model, on=True)


def current(
    model: CausalLM, start: Path, place: torch.device
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield each weight that training changes as it is by now, float32; the model stays as it is.

    What an adapter does to a matrix is put into the start's own, read again one at a time.
    """
    own = {name: weight for name, weight in weights(model).items() if weight.requires_grad}
    yield from ((name, weight.detach()) for name, weight in own.items())
    changes = {name: of for kind in KINDS.values() for name, of in kind.changes(model).items()}
    for name, tensor in checkpoint.tensors(start) if changes else ():
        if name in changes:
            with torch.no_grad():
                yield name, changes[name](tensor.to(place, torch.float32))


def apply(folder: Path, start: Path, out: Path, share: float = 1.0) -> None:
    """Write the checkpoint that a start becomes by the adapter that `save` wrote.

    Args:
        folder: of the adapter.
        start: the checkpoint that it was trained on.
        out: the checkpoint to write, float32.
        share: of the way from the start, see `interpolate`.

    Raises:
        InputError: the folder holds no adapter, or that of a model with other matrices, or see
            `attach`.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise InputError(f"{folder} has no {CONFIG}: it is no adapter")
    config = files.read_json(path)
    kind = next((kind for kind in KINDS.values() if config.get("peft_type") == kind.TYPE), None)
    if kind is None:
        raise InputError(f"{path} is of {config.get('peft_type')}, which no adapter here is")
    adapter = kind.settings(config)
    model = load.causal_lm(start, torch.float32, torch.device("cpu"))
    attach(model, adapter, targets(adapter, start), start)
    stored = load_file(folder / WEIGHTS)
    into = kind.weights(model)
    wrong = sorted(
        name for name in {*stored, *into}
        if name not in stored or name not in into or stored[name].shape != into[name].shape
    )  # fmt: skip
    if wrong:
        raise InputError(f"{folder} is of another model than {start}: {wrong[0]} does not fit")
    with torch.no_grad():
        for name, weight in into.items():
            weight.copy_(stored[name])
    if share != 1:
        interpolate(model, start, share)
    merge(model, start, torch.device("cpu"))
    checkpoint.write(out, weights(model), checkpoint.read_config(start), beside=start)
    kind.leave(model, start, out)


def save(model: CausalLM, adapter: Adapter, names: list[str], out: Path) -> None:
    """Write the adapter of a model; `PeftModel.from_pretrained` takes one of low rank.

    Args:
        model: with the adapter, merged or not.
        adapter: its settings.
        names: the matrices that it changes.
        out: the folder to make, of CONFIG and WEIGHTS (float32).
    """
    out.mkdir()
    kind = KINDS[adapter.kind]
    files.write_json(out / CONFIG, kind.config(adapter, names))
    small = {name: weight.detach().cpu() for name, weight in kind.weights(model).items()}
    save_file(small, out / WEIGHTS, metadata={"format": "pt"})


def weights(model: CausalLM) -> dict[str, torch.nn.Parameter]:
    """Return the weights of the model without its adapter, by the names that the start has."""
    return {
        name.replace(".base_layer.", "."): weight
        for name, weight in model.named_parameters()
        if not any(kind.owns(name) for kind in KINDS.values())
    }


def _frozen(model: CausalLM) -> dict[str, torch.nn.Parameter]:
    return {name: weight for name, weight in weights(model).items() if not weight.requires_grad}


def _give_up(frozen: Mapping[str, torch.nn.Parameter]) -> None:
    """Free weights, so that the system has their memory before others are read."""
    for weight in frozen.values():
        weight.data = weight.new_empty(0)
    device.release_memory()
