"""Make a student by leaving out the teacher's most redundant layers.

A layer whose output points where its input pointed does little: that is block influence, and it
names candidates cheaply. Which candidate really hurts least is then measured: layers are removed
one at a time, each time the one whose absence costs the least likelihood on real rows.

Sources: ShortGPT (Men et al. 2024, eq. 1) for block influence; SLEB (Song et al. 2024, alg. 1) for
the greedy choice by likelihood.

"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from potstill.errors import InputError
from potstill.loading.load import CausalLM
from potstill.tokens.packing import Pack


def mean_nll(model: CausalLM, batches: Sequence[Pack]) -> float:
    """Return the mean negative log-likelihood in nats over the answer tokens."""
    with torch.inference_mode():
        total = sum(answer_nll(model, batch).item() for batch in batches)
    return total / sum(len(batch.answers_N) for batch in batches)


def answer_nll(model: CausalLM, batch: Pack) -> torch.Tensor:
    """Return the sum of the negative log-likelihoods of the answer tokens, in nats."""
    hidden_ND = batch.predicting(model.model(**batch.inputs).last_hidden_state)
    logits_NV = model.lm_head(hidden_ND).float()
    return torch.nn.functional.cross_entropy(logits_NV, batch.answers_N, reduction="sum")


def block_influence(model: CausalLM, batch: Pack) -> list[float]:
    """Return 1 - mean cosine between each layer's input and output, one number a layer."""
    influence: list[float] = []

    def record(_: object, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ANN401
        out = output[0] if isinstance(output, tuple) else output
        cosine = torch.nn.functional.cosine_similarity(inputs[0].float(), out.float(), dim=-1)
        influence.append(1 - cosine.mean().item())

    hooks = [layer.register_forward_hook(record) for layer in model.model.layers]
    try:
        with torch.inference_mode():
            model.model(**batch.inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return influence


def choose_layers(
    model: CausalLM, batches: Sequence[Pack], keep: int, candidates: int
) -> tuple[list[int], float, float]:
    """Return (the layers to keep, the loss in nats a token before and after).

    With one candidate the least influential layer goes unmeasured. The model's layer list is
    changed while it runs and is whole again at the end.

    Raises:
        InputError: `keep` is not between 2 and the model's number of layers.
    """
    layers = model.model.layers
    if not 2 <= keep <= len(layers):
        raise InputError(f"num_layers is {keep}; 2 to {len(layers)} (the teacher's) are allowed")
    path = list(removals(model, batches, keep, candidates))
    kept, after = path[-1]
    if after is None:
        model.model.layers = torch.nn.ModuleList(layers[i] for i in kept)
        after = mean_nll(model, batches)
        model.model.layers = layers
    before = path[0][1]
    assert before is not None, "the whole model is measured"
    return kept, before, after


def removals(
    model: CausalLM, batches: Sequence[Pack], keep: int, candidates: int
) -> Iterator[tuple[list[int], float | None]]:
    """Yield the layers that are kept and the loss with them, first all, then one fewer each time.

    The loss is None where one candidate went unmeasured. The layer list is whole between two steps.
    """
    layers = model.model.layers
    influence = block_influence(model, batches[0])
    kept = list(range(len(layers)))

    def nll_without(index: int | None) -> float:
        model.model.layers = torch.nn.ModuleList(layers[i] for i in kept if i != index)
        try:
            return mean_nll(model, batches)
        finally:
            model.model.layers = layers

    yield list(kept), nll_without(None)
    while len(kept) > keep:
        # The first and last layers look redundant to no measure and to no published ablation.
        weakest = sorted(kept[1:-1], key=lambda index: influence[index])[:candidates]
        costs = {index: nll_without(index) for index in weakest} if len(weakest) > 1 else {}
        worst = min(weakest, key=lambda index: (costs.get(index, 0.0), index))
        kept.remove(worst)
        yield list(kept), costs.get(worst)


def keep_layers(
    state: Mapping[str, torch.Tensor], config: Mapping[str, Any], kept: list[int]
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the weights and config of a model with only the layers `kept`, renumbered."""
    new_index = {old: new for new, old in enumerate(kept)}
    prefix = "model.layers."
    chosen: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        if not name.startswith(prefix):
            chosen[name] = tensor
            continue
        old, rest = name.removeprefix(prefix).split(".", 1)
        if int(old) in new_index:
            chosen[f"{prefix}{new_index[int(old)]}.{rest}"] = tensor
    changed = {**config, "num_hidden_layers": len(kept)}
    if "layer_types" in changed:
        changed["layer_types"] = [changed["layer_types"][i] for i in kept]
    return chosen, changed
