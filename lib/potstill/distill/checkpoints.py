"""Where a training was: written whole or not at all, and trusted only while its hashes hold.

A checkpoint is the weights that are trained, the optimiser's moments of each of them, and the
history: 12 bytes a weight. It is written under a temporary name and renamed; its marker with the
hashes of its files is written last. The one before it goes only after that, so that a full disk
costs the new one.

Where the weights of an earlier step may be delivered, that step's stay beside it without their
moments, 4 bytes a weight, and its marker holds their hash too.
"""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from potstill import files
from potstill.distill import ranks, sharding
from potstill.errors import InputError
from potstill.loading.load import CausalLM

COMPLETE = "COMPLETE"
WEIGHTS, MOMENTS = "model.safetensors", "optimiser.safetensors"
History = list[dict[str, float]]


def trained(model: torch.nn.Module | CausalLM) -> dict[str, torch.nn.Parameter]:
    """Return the weights that are trained, by name; tied ones stand under one name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def save(
    model: CausalLM,
    optimiser: torch.optim.Optimizer,
    history: History,
    scratch: Path,
    best: int | None = None,
) -> None:
    """Write weights, moments and history; older checkpoints are deleted after it.

    All ranks have to call it; rank 0 writes.

    Args:
        model: what is trained.
        optimiser: of its weights.
        history: a row a step.
        scratch: folder of the checkpoints.
        best: a step that has a checkpoint, or is this one; its weights are kept.

    Raises:
        InputError: it cannot be written (a full disk); the one before it is as it was.
    """
    weights, moments = _state(model, optimiser)
    if ranks.rank() > 0:
        return
    final = _folder(scratch, len(history))
    kept = _folder(scratch, best) if best is not None and best < len(history) else None
    partial = files.partial_path(final)
    files.remove(partial)
    try:
        _write(partial, weights, moments, history, kept)
        files.publish(partial, final)
    except (OSError, SafetensorError) as error:
        files.remove(partial)
        raise InputError(_unwritten(error, len(history), scratch)) from None
    for other in scratch.glob("step-*"):
        if other == kept:
            files.remove(other / MOMENTS)
        elif other != final:
            files.remove(other)


def load_weights(model: CausalLM, scratch: Path, step: int) -> None:
    """Put the weights of a step's checkpoint into a model.

    Raises:
        InputError: they are damaged.
    """
    path = _folder(scratch, step) / WEIGHTS
    if _marked(path.parent).get(WEIGHTS) != files.sha256_file(path):
        raise InputError(f"{path} is damaged: run again, the training starts anew")
    _fill(trained(model), load_file(path))


def newest(scratch: Path) -> Path | None:
    """Return the folder of the newest whole checkpoint, None without one."""
    found = sorted(scratch.glob("step-*"), reverse=True)
    return next((folder for folder in found if whole(folder)), None)


def whole(folder: Path) -> bool:
    """Say whether a checkpoint is complete and its files hash as they did when written."""
    hashes = _marked(folder)
    return bool(hashes) and all(
        (folder / name).exists() and files.sha256_file(folder / name) == value
        for name, value in hashes.items()
    )


def resume(model: CausalLM, optimiser: torch.optim.Optimizer, scratch: Path) -> History:
    """Load the newest whole checkpoint into model and optimiser; return its history."""
    folder = newest(scratch)
    if folder is None:
        return []
    weights = load_file(folder / WEIGHTS)
    parameters = trained(model)
    assert weights.keys() == parameters.keys(), f"{folder} is of another training"
    _fill(parameters, weights)
    moments: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in load_file(folder / MOMENTS).items():
        name, kind = key.rsplit("/", 1)
        moments.setdefault(name, {})[kind] = sharding.part(value, parameters[name])
    places = {name: place for place, name in enumerate(_in_order(parameters, optimiser))}
    state = {places[name]: entry for name, entry in moments.items()}
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    history: History = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    return history


def _fill(parameters: dict[str, torch.nn.Parameter], weights: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(sharding.part(weights[name], parameter))


def _folder(scratch: Path, step: int) -> Path:
    return scratch / f"step-{step:08d}"


def _marked(folder: Path) -> dict[str, str]:
    """Return the hashes that a checkpoint's marker holds, by file; none without a marker."""
    marker = folder / COMPLETE
    hashes: dict[str, str] = {}
    if marker.exists():
        hashes = json.loads(marker.read_text(encoding="utf-8"))
    return hashes


def _state(
    model: CausalLM, optimiser: torch.optim.Optimizer
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return weights and moments by name, in memory of the processor; both empty on other ranks."""
    parameters = trained(model)
    moments = {
        f"{name}/{kind}": torch.as_tensor(value)
        for name, parameter in parameters.items()
        for kind, value in optimiser.state[parameter].items()
    }
    weights, found = (
        {name: tensor.cpu().contiguous() for name, tensor in sharding.gathered(tensors)}
        for tensors in (parameters, moments)
    )
    return weights, found


def _write(
    folder: Path,
    weights: dict[str, torch.Tensor],
    moments: dict[str, torch.Tensor],
    history: History,
    kept: Path | None,
) -> None:
    folder.mkdir(parents=True)
    save_file(weights, folder / WEIGHTS)
    save_file(moments, folder / MOMENTS)
    (folder / "history.json").write_text(json.dumps(history), encoding="utf-8")
    hashes = {path.name: files.sha256_file(path) for path in files.files_below(folder)}
    if kept is not None:
        hashes[f"../{kept.name}/{WEIGHTS}"] = files.sha256_file(kept / WEIGHTS)
    (folder / COMPLETE).write_text(json.dumps(hashes), encoding="utf-8")


def _in_order(
    parameters: dict[str, torch.nn.Parameter], optimiser: torch.optim.Optimizer
) -> list[str]:
    """Return the names as the optimiser numbers its parameters: group after group."""
    names = {id(parameter): name for name, parameter in parameters.items()}
    return [names[id(p)] for group in optimiser.param_groups for p in group["params"]]


def _unwritten(error: Exception, step: int, scratch: Path) -> str:
    kept, said = newest(scratch), " ".join(str(error).split())
    left = (
        f"that of step {int(kept.name.removeprefix('step-'))} is whole" if kept else "none is yet"
    )
    return (
        f"the checkpoint of step {step} cannot be written ({said}); {left}: make room below "
        f"{scratch} and run again"
    )
