"""Go through a model a layer at a time, each on what those before it, as they are by then, give.

Dimensions: T tokens of a line, X inputs of a matrix, D width.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch

from potstill.loading.load import CausalLM
from potstill.tokens.packing import Pack

# matrices that read the same inputs, by name, and the mean of x x^T
Products = Iterable[tuple[dict[str, torch.Tensor], torch.Tensor]]
# matrices of a layer that read the same inputs, in the order in which they are used
GROUPS = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("mlp.down_proj",),
)


def products(model: CausalLM, packs: Sequence[Pack]) -> Products:
    """Yield matrices that read the same x, by name, and the mean of x x^T over tokens [X, X].

    What the caller makes of a matrix, in place, before it asks for the next is what those after it
    read.

    Args:
        model: float32.
        packs: calibration rows.
    """
    states = [model.model.embed_tokens(pack.ids_1T) for pack in packs]
    for number, layer in enumerate(model.model.layers):
        for group in GROUPS:
            matrices = {
                f"model.layers.{number}.{part}.weight": layer.get_submodule(part).weight
                for part in group
            }
            yield matrices, _product(model, packs, states, number, group[0])
        states = [
            _through(model, pack, state, number) for pack, state in zip(packs, states, strict=True)
        ]


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


def _product(
    model: CausalLM, packs: Sequence[Pack], states: Sequence[torch.Tensor], layer: int, part: str
) -> torch.Tensor:
    total_XX: torch.Tensor | None = None
    tokens = 0

    def add(_: object, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal total_XX, tokens
        x_TX = inputs[0].flatten(0, -2).float()
        own_XX = x_TX.T @ x_TX
        total_XX = own_XX if total_XX is None else total_XX.add_(own_XX)
        tokens += len(x_TX)

    hook = model.model.layers[layer].get_submodule(part).register_forward_pre_hook(add)
    try:
        for pack, state in zip(packs, states, strict=True):
            run(model, pack, state, [layer])
    finally:
        hook.remove()
    assert total_XX is not None, "there are calibration rows"
    return total_XX.div_(tokens)


def _through(model: CausalLM, pack: Pack, states_1TD: torch.Tensor, layer: int) -> torch.Tensor:
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
