"""Training with the weights that an export will hold (quantisation-aware training, QAT).

From a step on every pass reads the matrices of the layers and the head as `int8.rounded` makes
them, and the gradient that it finds there moves the float weights behind them: the straight-through
estimator, without a graph through the rounding. For that the float weights are put aside while a
step's passes run, 4 bytes a weight. Untied embeddings, norms and biases stay as they are, as in the
file. Zeros stay zeros.

What is kept and resumed are the float weights; what is measured and delivered are the rounded ones.

Sources: Bengio et al. 2013 (arXiv:1308.3432), section 4; Courbariaux et al. 2015 (BinaryConnect,
arXiv:1511.00363), algorithm 1, for the weights that are put aside.

Dimensions: T tokens of a line, D width.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch.distributed.tensor import DTensor
from torch.nn import functional

from potstill import int8
from potstill.distill.recipe import Training
from potstill.errors import InputError
from potstill.loading.load import CausalLM
from potstill.tokens import packing
from potstill.tokens.examples import Example

COSINE = "layer_cosine"  # the least of the layers', in the history and the metrics


def is_on(recipe: Training, step: int) -> bool:
    """Say whether the passes of a step, counted from 0, read rounded weights."""
    if recipe.qat is None:
        return False
    return step >= int(recipe.qat.after * recipe.steps + 1e-9)  # 0.29 * 100 is less than 29


def rate(recipe: Training, step: int) -> float:
    """Return what a step's learning rate is multiplied by."""
    return recipe.qat.rate if recipe.qat and is_on(recipe, step) else 1.0


def matrices(model: CausalLM) -> list[torch.Tensor]:
    """Return what is rounded: the layers' matrices, and the head, which may be the embedding."""
    modules = [*model.model.layers.modules(), model.lm_head]
    return [module.weight for module in modules if isinstance(module, torch.nn.Linear)]


@contextmanager
def rounded(model: CausalLM, *, on: bool = True) -> Iterator[None]:
    """Let a model compute with rounded weights; it has its own again at the end.

    A rank rounds its part: rows are shared whole, and a row has its scale for itself.
    """
    weights = _own(matrices(model)) if on else []
    kept = [weight.clone() for weight in weights]
    _fill(weights, map(int8.rounded, weights))
    try:
        yield
    finally:
        _fill(weights, kept)


def deliver(model: CausalLM, rows: Sequence[Example], recipe: Training) -> dict[str, float]:
    """Round a trained model for good; return what `watch` says of it.

    Raises:
        InputError: see `require`.
    """
    found = watch(model, rows)
    require(found, recipe, recipe.steps)
    weights = _own(matrices(model))
    _fill(weights, map(int8.rounded, weights))
    return found


def watch(model: CausalLM, rows: Sequence[Example]) -> dict[str, float]:
    """Return the least, over layers, of the mean cosine between outputs of float and rounded.

    Args:
        model: with its float weights, as it is again afterwards.
        rows: that both read; the last layer's outputs are those after the final norm.
    """
    model.eval()
    batch = packing.pack(rows, next(model.parameters()).device)
    plain = _outputs(model, batch)
    with rounded(model):
        others = _outputs(model, batch)
    cosines = [
        functional.cosine_similarity(a_TD.double(), b_TD.double(), dim=-1).mean()
        for a_TD, b_TD in zip(plain, others, strict=True)
    ]
    return {COSINE: torch.stack(cosines).min().item()}  # no number if one is none


def require(found: Mapping[str, float], recipe: Training, step: int) -> None:
    """End a training whose layers say something else with rounded weights.

    Args:
        found: what `watch` measured, or more.
        recipe: says what is enough, from the first step with rounded weights on.
        step: of the measurement, counted from 1.

    Raises:
        InputError: the cosine is lower, or no number.
    """
    if recipe.qat is None or not is_on(recipe, step - 1) or found[COSINE] >= recipe.qat.min_cosine:
        return
    raise InputError(
        f"step {step}: with rounded weights a layer's outputs have a cosine of {found[COSINE]:.6f} "
        f"to those with float ones, and qat.min_cosine is {recipe.qat.min_cosine}: lower qat.rate "
        "or learning_rate if it fell (layer_cosine of the steps before), qat.min_cosine if not"
    )


def _outputs(model: CausalLM, batch: packing.Pack) -> list[torch.Tensor]:
    with torch.inference_mode():
        output = model.model(**batch.inputs, output_hidden_states=True)
    return [states_1TD[0] for states_1TD in output.hidden_states[1:]]


def _own(weights: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Return this rank's part of each weight, in the same memory."""
    found = [weight.detach() for weight in weights]
    return [weight.to_local() if isinstance(weight, DTensor) else weight for weight in found]


def _fill(weights: Iterable[torch.Tensor], values: Iterable[torch.Tensor]) -> None:
    for weight, value in zip(weights, values, strict=True):
        weight.copy_(value)
