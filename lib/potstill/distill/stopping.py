"""Stopping early: which step of a history is delivered, and when to go no further.

Both are functions of the history alone, so a resumed run decides as one that ran through.
"""

import math

from potstill.distill.recipe import Training

History = list[dict[str, float]]


def is_evaluated(recipe: Training, step: int) -> bool:
    """Say whether the validation loss is measured after a step, counted from 1.

    The last step is what is delivered where none is chosen, and measured with it; a choice has to
    know its loss before.
    """
    if step == recipe.steps:
        return recipe.patience is not None
    return bool(recipe.evaluate_every) and step % recipe.evaluate_every == 0


def delivered(history: History, recipe: Training) -> int:
    """Return the step whose weights are delivered; 0 without a step.

    That is the last one or, with patience, the one of the lowest validation loss so far: the first
    of equals.
    """
    measured = _measured(history)
    if recipe.patience is None or not measured:
        return int(history[-1]["step"]) if history else 0
    return min(measured, key=lambda step: (measured[step], step))


def is_over(history: History, recipe: Training) -> bool:
    """Say whether as many measurements as patience allows have brought no lower loss."""
    measured = _measured(history)
    if recipe.patience is None or not measured:
        return False
    best = delivered(history, recipe)
    return sum(step > best for step in measured) >= recipe.patience


def _measured(history: History) -> dict[int, float]:
    """Return step -> validation loss; what is no number never is the lowest."""
    found = {int(row["step"]): row["validation_nll"] for row in history if "validation_nll" in row}
    return {step: nll if math.isfinite(nll) else math.inf for step, nll in found.items()}
