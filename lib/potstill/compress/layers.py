"""Run a model a layer at a time, on what the layers before it gave."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from potstill.loading.load import CausalLM
from potstill.tokens.packing import Pack


def embedded(model: CausalLM, pack: Pack) -> torch.Tensor:
    """Return what the first layer reads, [1, T, D]."""
    states_1TD: torch.Tensor = model.model.embed_tokens(pack.ids_1T)
    return states_1TD


def run(
    model: CausalLM, pack: Pack, states_1TD: torch.Tensor, layers: Sequence[int]
) -> torch.Tensor:
    """Return what some layers make of states, after the last norm.

    Args:
        model: whose layers they are; it is whole again at the end.
        pack: the line that the states are of.
        states_1TD: what the first of the layers reads.
        layers: their numbers.
    """
    inputs = {name: value for name, value in pack.inputs.items() if name != "input_ids"}
    with _only(model, layers):
        last_1TD: torch.Tensor = model.model(inputs_embeds=states_1TD, **inputs).last_hidden_state
    return last_1TD


def through(model: CausalLM, pack: Pack, states_1TD: torch.Tensor, layer: int) -> torch.Tensor:
    """Return what one layer gives on, [1, T, D]."""
    found: list[torch.Tensor] = []

    def note(_: object, __: object, output: torch.Tensor | tuple[torch.Tensor, ...]) -> None:
        found.append(output[0] if isinstance(output, tuple) else output)

    hook = model.model.layers[layer].register_forward_hook(note)
    try:
        run(model, pack, states_1TD, [layer])
    finally:
        hook.remove()
    return found[0]


@contextmanager
def _only(model: CausalLM, layers: Sequence[int]) -> Iterator[None]:
    whole = model.model.layers
    model.model.layers = torch.nn.ModuleList(whole[number] for number in layers)
    try:
        yield
    finally:
        model.model.layers = whole
