"""AdamW over the weights that are trained, and its learning rate at each step."""

import math
from collections.abc import Iterable

import torch

from potstill.distill.recipe import Training

BETAS = (0.9, 0.95)
# What the default run was chosen with, for the size that it was chosen on (docs/facts.md).
FULL_RATE, FULL_PARAMETERS = 1e-4, 135_000_000
ADAPTER_RATES = {"lora": 1e-4, "vectors": 3e-3, "scales": 3e-4}


def groups(parameters: Iterable[torch.nn.Parameter], decay: float) -> list[dict[str, object]]:
    """Return the optimiser's groups: matrices decay; norms, biases and factors do not.

    A norm's weight or a factor is near one and a bias where the data put it: drawn to zero, they
    change what the layer computes and regularise nothing.
    """
    matrices: list[torch.nn.Parameter] = []
    others: list[torch.nn.Parameter] = []
    for parameter in parameters:
        (matrices if parameter.ndim == 2 else others).append(parameter)
    found: list[dict[str, object]] = [
        {"params": matrices, "weight_decay": decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return [group for group in found if group["params"]]


def make(parameters: Iterable[torch.nn.Parameter], recipe: Training) -> torch.optim.Optimizer:
    """Return the optimiser of some weights; its rate is set before each step."""
    found = groups(parameters, recipe.weight_decay)
    return torch.optim.AdamW(found, lr=0.0, betas=BETAS, fused=True)


def peak_rate(recipe: Training, num_trained: int) -> float:
    """Return the highest learning rate of a training: the stated one, else a rule's.

    All weights of a model: 1e-4 up to 135 million, then falling with the square root of their
    number, as the rates do that models are published with (1.4e-5 at seven billion). The same rate
    for every size undoes in four steps what a larger model could do (docs/facts.md). An adapter
    has one rate at every size, since it cannot move its model far.

    Args:
        recipe: `learning_rate` is the peak, None for the rule.
        num_trained: weights that are trained.
    """
    if recipe.learning_rate is not None:
        return recipe.learning_rate
    if recipe.adapter is not None:
        return ADAPTER_RATES[recipe.adapter.kind]
    return FULL_RATE * min(1.0, math.sqrt(FULL_PARAMETERS / max(num_trained, 1)))


def learning_rate(recipe: Training, peak: float, step: int) -> float:
    """Return the rate of a step, counted from 0: a linear warm-up, then a cosine to a tenth."""
    if step < recipe.warmup_steps:
        return peak * (step + 1) / recipe.warmup_steps
    length = max(1, recipe.steps - recipe.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * (step - recipe.warmup_steps) / length))
    return peak * (0.1 + 0.9 * cosine)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give all groups a rate."""
    for group in optimiser.param_groups:
        group["lr"] = rate
