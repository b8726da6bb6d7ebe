"""What every kind of source gives, and the cast to the dtype asked for."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from potstill.errors import InputError

if TYPE_CHECKING:
    import torch

DType = Literal["float32", "float16", "bfloat16"]


@dataclass(frozen=True)
class Brought:
    """A checkpoint that was written.

    Attributes:
        weights: the source's own weight files.
        licence: as the source names it, None where it does not.
        notes: what is not as the source has it, one line each.
    """

    weights: list[Path]
    licence: str | None = None
    notes: list[str] = field(default_factory=list)


def cast(name: str, weight: "torch.Tensor", dtype: DType) -> "torch.Tensor":
    """Return a weight in another dtype.

    Raises:
        InputError: a number in it is not finite there: float16 ends at 65,504.
    """
    import torch

    changed = weight.to(getattr(torch, dtype))
    ends = torch.stack(torch.aminmax(changed))  # NaN passes through; far faster than asking each
    if not torch.isfinite(ends).all():
        raise InputError(
            f"tensor {name} holds numbers that are not finite in {dtype}: set models.NAME.dtype to "
            "bfloat16 or float32"
        )
    return changed
