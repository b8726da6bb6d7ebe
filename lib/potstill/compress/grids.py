"""The values that blocks of a GGUF type can hold, once their scales are chosen: levels and codes.

A block is a few scales and a code for each value, which is an affine or a table's function of it.
ggml's quantiser chooses scales; here codes are put into such blocks, and what each code stands for
is read by `gguf.quants` from blocks of known codes: layouts of codes stand here, of scales nowhere.

Source: ggml `ggml-common.h` (block_q4_0 and the others) and `gguf.quants` (the order of codes).

Dimensions: R rows, X values of one, B blocks, n bytes of one, L levels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from gguf.quants import IQ4_NL

from potstill.hints import blocks
from potstill.students import rounding, sizes

_ONE = IQ4_NL.kvalues.index(1)  # the code of 1 in the table of IQ4 types


@dataclass(frozen=True)
class Grid:
    """What each value of a matrix can become: offset + scale * one of the levels.

    Attributes:
        kind: ggml's name of the type.
        blocks_Rn: the matrix in that type, whose scales hold.
        scale_RX: of each value.
        offset_RX: of each value.
        level_L: ascending; a code is a place here.
    """

    kind: str
    blocks_Rn: np.ndarray
    scale_RX: np.ndarray
    offset_RX: np.ndarray
    level_L: np.ndarray

    def with_codes(self, codes_RX: np.ndarray) -> np.ndarray:
        """Return the blocks [R, n] with other codes."""
        return _put(self.kind, self.blocks_Rn, codes_RX)


def grid(values_RX: np.ndarray, kind: str, importance_X: np.ndarray | None = None) -> Grid:
    """Let ggml choose scales for a matrix; see `rounding.quantised`."""
    blocks_Rn = rounding.quantised(values_RX, kind, importance_X)
    shape = values_RX.shape

    def of(code: int) -> np.ndarray:
        codes_RX = np.full(shape, code, np.uint8)
        return blocks.values(_put(kind, blocks_Rn, codes_RX), kind).reshape(shape)

    if kind.startswith("IQ4"):
        level_L = np.array(IQ4_NL.kvalues, np.float32)
        return Grid(kind, blocks_Rn, of(_ONE), np.zeros(shape, np.float32), level_L)
    first_RX = of(0)
    level_L = np.arange(_LEVELS[kind], dtype=np.float32)
    return Grid(kind, blocks_Rn, of(1) - first_RX, first_RX, level_L)


def _nibbles(codes: np.ndarray) -> np.ndarray:
    """Join [..., 2, m] to bytes [..., m]: the first of two is the lower half."""
    low = codes & 15
    joined: np.ndarray = low[..., 0, :] | (low[..., 1, :] << 4)
    return joined


def _four(codes: np.ndarray) -> np.ndarray:
    return _nibbles(codes.reshape(len(codes), 2, 16))


def _five(codes: np.ndarray) -> np.ndarray:
    return np.concatenate([np.packbits(codes >> 4, axis=1, bitorder="little"), _four(codes)], 1)


def _eight(codes: np.ndarray) -> np.ndarray:
    return codes ^ 128  # counted from -128


def _four_k(codes: np.ndarray) -> np.ndarray:
    return _nibbles(codes.reshape(-1, 4, 2, 32)).reshape(len(codes), -1)


def _five_k(codes: np.ndarray) -> np.ndarray:
    high = np.packbits((codes >> 4).reshape(-1, 8, 32), axis=1, bitorder="little")[:, 0]
    return np.concatenate([high, _four_k(codes)], 1)


def _six_k(codes: np.ndarray) -> np.ndarray:
    parts = codes.reshape(-1, 2, 2, 64)  # half, nibble, value
    quarters = (codes >> 4).reshape(-1, 2, 4, 32)
    high = sum(quarters[:, :, n] << (2 * n) for n in range(4))
    flat = (x.reshape(len(codes), -1) for x in (_nibbles(parts), np.asarray(high, np.uint8)))
    return np.concatenate(list(flat), 1)


def _four_xs(codes: np.ndarray) -> np.ndarray:
    return _nibbles(codes.reshape(-1, 8, 2, 16)).reshape(len(codes), -1)


# type -> bytes of a block before its codes, what makes bytes of the codes [B, values]
_CODES: dict[str, tuple[int, Callable[[np.ndarray], np.ndarray]]] = {
    "Q4_0": (2, _four),
    "IQ4_NL": (2, _four),
    "Q4_1": (4, _four),
    "Q5_0": (2, _five),
    "Q5_1": (4, _five),
    "Q8_0": (2, _eight),
    "Q4_K": (16, _four_k),
    "Q5_K": (16, _five_k),
    "Q6_K": (0, _six_k),
    "IQ4_XS": (8, _four_xs),
}
_LEVELS = {"Q4_0": 16, "Q4_1": 16, "Q5_0": 32, "Q5_1": 32, "Q8_0": 256, "Q4_K": 16, "Q5_K": 32,
           "Q6_K": 64}  # fmt: skip
KINDS = tuple(_CODES)


def _put(kind: str, blocks_Rn: np.ndarray, codes_RX: np.ndarray) -> np.ndarray:
    """Return blocks with other codes and the same scales."""
    begin, joined = _CODES[kind]
    length, size = sizes.TYPES[kind]
    made = blocks_Rn.reshape(-1, size).copy()
    codes = joined(codes_RX.astype(np.uint8).reshape(-1, length))
    made[:, begin : begin + codes.shape[1]] = codes
    return made.reshape(blocks_Rn.shape)
