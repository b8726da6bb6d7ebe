"""The phases of a training: each has rows, a peak rate, a warm-up and a cosine of its own.

One optimiser goes through all. Which phase a step is of, and what it reads, follow from the recipe,
so a resumed run needs to know its step alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from potstill.distill import optimisers
from potstill.distill.recipe import Training
from potstill.tokens import examples
from potstill.tokens.examples import Example


@dataclass(frozen=True)
class Part:
    """A phase, or the whole of a training that has none.

    Attributes:
        recipe: the training's, with the steps, rate and warm-up of the phase.
        rows: what it takes.
        first: steps of the phases before it.
        seen: those of them on the same choice of rows; its epochs go on from there.
    """

    recipe: Training
    rows: Sequence[Example]
    first: int = 0
    seen: int = 0

    def rate(self, step: int, num_trained: int) -> float:
        """Return the learning rate of a step of the training, counted from 0."""
        peak = optimisers.peak_rate(self.recipe, num_trained)
        return optimisers.learning_rate(self.recipe, peak, step - self.first)


def recipes(recipe: Training) -> list[Training]:
    """Return the recipe of each phase; a training without phases is one."""
    found = []
    for phase in recipe.phases or ():
        own = phase.model_dump(include={"learning_rate", "warmup_steps"}, exclude_none=True)
        found.append(recipe.model_copy(update={**own, "steps": phase.steps, "phases": None}))
    return found or [recipe]


def parts(recipe: Training, rows: Sequence[Example]) -> list[Part]:
    """Return the phases in their order.

    Raises:
        InputError: a phase has no rows.
    """
    if recipe.phases is None:
        return [Part(recipe, rows)]
    found: list[Part] = []
    first, seen = 0, dict[str, int]()
    for phase, own in zip(recipe.phases, recipes(recipe), strict=True):
        choice = phase.rows.model_dump_json()
        chosen = examples.having(rows, phase.rows.wanted())
        found.append(Part(own, chosen, first, seen.get(choice, 0)))
        first += phase.steps
        seen[choice] = seen.get(choice, 0) + phase.steps
    return found


def at(found: Sequence[Part], step: int) -> Part:
    """Return the phase of a step, counted from 0."""
    return next(part for part in reversed(found) if part.first <= step)
