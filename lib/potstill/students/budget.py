"""The shape of a student that fits a number of bytes, by the loss that it is foreseen to have.

For each number of layers the widest MLP that fits follows from the sizes alone. Layers are then
left out one by one, each time the one whose absence costs least, and channels by their scores; the
loss after each cut is measured on calibration rows by itself. Of a shape that has both the
increases are added, which is an assumption: two cuts hurt each other. What the built start really
loses is measured and stands beside.

Dimensions: none of tensors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from potstill.errors import InputError
from potstill.params import Section
from potstill.students import sizes

FEWEST_LAYERS = 2  # first and last are never left out


class Budget(Section):
    """What a start may weigh once it is exported."""

    bytes: Annotated[int, Field(ge=1)]  # of the GGUF file
    # Of that file: q4_k_m, q4_0, q8_0, ...; of several the one of the lowest loss
    quantisation: str | Annotated[list[str], Field(min_length=1)]

    @property
    def quantisations(self) -> list[str]:
        """What the file may be."""
        return [self.quantisation] if isinstance(self.quantisation, str) else self.quantisation


@dataclass(frozen=True)
class Shape:
    """A shape that fits, with the size of its file.

    Attributes:
        num_layers: layers.
        ffn_width: channels of the MLP.
        quantisation: of its file.
        num_bytes: of its file.
    """

    num_layers: int
    ffn_width: int
    quantisation: str
    num_bytes: int


def frontier(config: Mapping[str, Any], budget: Budget, tokenizer: Path) -> list[Shape]:
    """Return for each quantisation and number of layers the widest shape that fits.

    The deepest come first; each quantisation ends with the first that needs no narrower MLP: fewer
    layers of that width are only less. Nothing is measured for this.

    Args:
        config: of the source.
        budget: bytes and quantisations.
        tokenizer: folder of the tokenizer that the file will hold.

    Raises:
        InputError: no shape fits; names the smallest. A quantisation without a rule.
    """
    vocabulary = sizes.vocabulary_bytes(tokenizer, config["vocab_size"])
    found: list[Shape] = []
    smallest: list[Shape] = []
    for quantisation in budget.quantisations:
        fitting, least = _widest(config, budget.bytes, quantisation, vocabulary)
        found += fitting
        smallest.append(least)
    if not found:
        least = min(smallest, key=lambda shape: shape.num_bytes)
        raise InputError(
            f"budget.bytes is {budget.bytes:,}: the smallest shape has {least.num_bytes:,} "
            f"({least.num_layers} layers, {least.ffn_width} channels, {least.quantisation}): "
            "raise it, take a smaller source, another quantisation or a smaller "
            "build_vocabulary.size"
        )
    return found


def _widest(
    config: Mapping[str, Any], most: int, quantisation: str, vocabulary: int
) -> tuple[list[Shape], Shape]:
    """Return the frontier of one quantisation, and the last shape that was tried."""
    full = config["intermediate_size"]
    found: list[Shape] = []
    for layers in range(config["num_hidden_layers"], FEWEST_LAYERS - 1, -1):
        for width in reversed(widths(full)):
            own = {**config, "num_hidden_layers": layers, "intermediate_size": width}
            size = sizes.file_bytes(own, quantisation, vocabulary)
            shape = Shape(layers, width, quantisation, size)
            if size <= most:
                found.append(shape)
                break
        if found and found[-1].ffn_width == full:
            break
    return found, shape


def best(
    shapes: Sequence[Shape],
    whole: tuple[int, int],
    by_layers: Mapping[int, float],
    by_width: Mapping[int, float],
    by_rounding: Mapping[str, float],
) -> tuple[Shape, float]:
    """Return the shape of the lowest foreseen loss, of equals the smaller, and its loss unrounded.

    Args:
        shapes: what fits.
        whole: layers and channels of the source.
        by_layers: number of layers -> measured loss, nats a token.
        by_width: channels -> measured loss.
        by_rounding: quantisation -> measured loss; counts in the choice alone.
    """

    def foreseen(shape: Shape) -> float:
        return by_layers[shape.num_layers] + by_width[shape.ffn_width] - by_layers[whole[0]]

    found = min(
        shapes, key=lambda one: (foreseen(one) + by_rounding[one.quantisation], one.num_bytes)
    )
    return found, foreseen(found)


def widths(full: int) -> list[int]:
    """Return the numbers of channels that are tried: eighths, as quantisers like them."""
    block = 256 if full >= 2048 else 32
    found = {full * eighth // 8 // block * block for eighth in range(1, 8)}
    return sorted({width for width in found if width} | {full})
