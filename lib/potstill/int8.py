"""Symmetric 8-bit integers with one scale for each output channel: a weight is near q * scale.

What training rounds to (`distill.qat`) and what a file holds (`export.onnx`, `int8_channel`) are
both made here, so they are the same integers. What is rounded already has the same integers again,
and scales that differ by the rounding of float32 at most.

Source: Jacob et al. 2018 (arXiv:1712.05877), section 3; the rounding is that of
torch.fake_quantize_per_channel_affine.

Dimensions: O outputs, I inputs of a matrix.
"""

import torch

LARGEST = 127  # -128 is left out: the grid is the same on both sides of 0


def scales(weight_OI: torch.Tensor) -> torch.Tensor:
    """Return the scale of each row [O], float32: its largest magnitude over 127.

    A row of zeros, or of less than float32 holds at full precision, has the least scale that does.
    """
    largest_O = weight_OI.detach().abs().amax(1).float()
    return (largest_O / LARGEST).clamp(min=torch.finfo(torch.float32).tiny)


def rounded(weight_OI: torch.Tensor) -> torch.Tensor:
    """Return the nearest values on each row's grid, in the weights' dtype.

    The gradient passes through as if nothing were rounded (straight-through): 1 for every weight, a
    row's largest too, and none by way of the scale.
    """
    scale_O = scales(weight_OI)
    zero_O = torch.zeros_like(scale_O, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight_OI, scale_O, zero_O, 0, -LARGEST, LARGEST)


def integers(weight_OI: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the integers of a matrix [O, I], int8, and its scales [O], float32."""
    scale_O = scales(weight_OI)
    near_OI = rounded(weight_OI.detach()) / scale_O[:, None]
    return near_OI.round().to(torch.int8), scale_O
