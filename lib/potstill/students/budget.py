"""The shape of a student that fits a number of bytes, by the loss that it is foreseen to have.

Layers are left out one by one, each time the one whose absence costs least, and channels of the MLP
by their scores; the loss after each cut is measured on calibration rows by itself. Of a shape that
has both the increases are added, which is an assumption: two cuts hurt each other. What the built
start really loses is measured and stands beside.

Dimensions: none of tensors.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from potstill.errors import InputError
from potstill.params import Section
from potstill.students import sizes

FEWEST_LAYERS = 4


class Budget(Section):
    """What a start may weigh once it is exported."""

    bytes: Annotated[int, Field(ge=1)]  # of the GGUF file
    quantisation: str  # of that file: q4_k_m, q4_0, q8_0, ...


@dataclass(frozen=True)
class Shape:
    """A shape with what is foreseen of it.

    Attributes:
        num_layers: layers.
        ffn_width: channels of the MLP.
        num_bytes: of its file.
        nll_nats: its loss on the calibration rows, nats a token.
    """

    num_layers: int
    ffn_width: int
    num_bytes: int
    nll_nats: float


def shapes(
    config: Mapping[str, Any],
    budget: Budget,
    tokenizer: Path,
    by_layers: Mapping[int, float],
    by_width: Mapping[int, float],
) -> Iterator[Shape]:
    """Yield every shape that was measured, with its size and its foreseen loss.

    Args:
        config: of the source.
        budget: for its quantisation.
        tokenizer: folder of the tokenizer that the file will hold.
        by_layers: number of layers -> loss; the source's number is among them.
        by_width: channels -> loss; the source's number is among them.
    """
    whole = by_layers[config["num_hidden_layers"]]
    for layers, deep in by_layers.items():
        for width, wide in by_width.items():
            own = {**config, "num_hidden_layers": layers, "intermediate_size": width}
            size = sizes.file_bytes(own, budget.quantisation, tokenizer)
            yield Shape(layers, width, size, deep + wide - whole)


def solve(candidates: Sequence[Shape], budget: Budget) -> Shape:
    """Return the shape of the lowest foreseen loss that fits; of equals the smaller.

    Raises:
        InputError: none fits; names the smallest.
    """
    fitting = [one for one in candidates if one.num_bytes <= budget.bytes]
    if not fitting:
        smallest = min(candidates, key=lambda one: one.num_bytes)
        raise InputError(
            f"budget.bytes is {budget.bytes:,}: the smallest shape that is tried has "
            f"{smallest.num_bytes:,} ({smallest.num_layers} layers, {smallest.ffn_width} channels, "
            f"{budget.quantisation}): raise it, take a smaller source, another quantisation or a "
            "smaller build_vocabulary.size"
        )
    return min(fitting, key=lambda one: (one.nll_nats, one.num_bytes))


def widths(full: int) -> list[int]:
    """Return the numbers of channels that are tried: eighths down to a half, as quantisers like."""
    block = 256 if full >= 2048 else 32
    found = {full * eighth // 8 // block * block for eighth in (4, 5, 6, 7)}
    return sorted({width for width in found if width} | {full})
