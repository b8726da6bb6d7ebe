"""The half floats of a GGUF block, to which what the block holds is linear: W = sum of s_f * p_f.

A part p_f is what a block stands for whose half float f is 1 and whose others are 0: small whole
numbers, of codes and of the scales within a block. So codes can stay what they are while the half
floats are trained.

Source: ggml `ggml-common.h` (block_q4_0 and the others).

Dimensions: F half floats of a block, R rows, B blocks and n bytes of one, L values of a block.
"""

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from potstill.hints import blocks

# type -> where in a block its half floats stand
PLACES = {
    "Q4_0": (0,),
    "Q4_1": (0, 2),
    "Q5_0": (0,),
    "Q5_1": (0, 2),
    "Q8_0": (0,),
    "Q4_K": (0, 2),
    "Q5_K": (0, 2),
    "Q6_K": (208,),
    "IQ4_NL": (0,),
    "IQ4_XS": (0,),
}


def read(blocks_Rn: np.ndarray, kind: str) -> np.ndarray:
    """Return the half floats of blocks, float32 [F, R, B].

    Args:
        blocks_Rn: uint8; see `hints.blocks`.
        kind: ggml's name of their type.
    """
    blocks_RBn = _apart(blocks_Rn, kind)
    return np.stack(
        [
            np.ascontiguousarray(blocks_RBn[..., at : at + 2]).view(np.float16)[..., 0]
            for at in PLACES[kind]
        ]
    ).astype(np.float32)


def write(blocks_Rn: np.ndarray, kind: str, scales_FRB: np.ndarray) -> np.ndarray:
    """Return blocks with other half floats, rounded to the nearest, and the same codes."""
    made_RBn = _apart(blocks_Rn, kind).copy()
    for scale_RB, at in zip(scales_FRB.astype(np.float16), PLACES[kind], strict=True):
        made_RBn[..., at : at + 2] = np.ascontiguousarray(scale_RB)[..., None].view(np.uint8)
    return made_RBn.reshape(blocks_Rn.shape)


def parts(blocks_Rn: np.ndarray, kind: str) -> np.ndarray:
    """Return what each half float is multiplied with, int16 [F, R, B, L]."""
    count, shape_RB = len(PLACES[kind]), _apart(blocks_Rn, kind).shape[:2]
    found = []
    for number in range(count):
        only_FRB = np.zeros((count, *shape_RB))
        only_FRB[number] = 1
        found.append(blocks.values(write(blocks_Rn, kind, only_FRB), kind))
    return np.stack(found).astype(np.int16).reshape(count, *shape_RB, -1)


def _apart(blocks_Rn: np.ndarray, kind: str) -> np.ndarray:
    _, size = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
    return blocks_Rn.reshape(len(blocks_Rn), -1, size)
