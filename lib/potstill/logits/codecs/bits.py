"""Numbers of a fixed count of bits, packed into the bytes of records, the lowest bit first.

Dimensions: N records, K numbers of a record, B bytes of a record.
"""

import numpy as np
from numpy.typing import NDArray

MAX_WIDTH = 25  # bits of a number: with its place in the first byte it fits into 32
SPARE = 3  # bytes behind the last record that are read with it


def num_bytes(count: int, width: int) -> int:
    """Return the bytes that hold `count` numbers of `width` bits."""
    return (count * width + 7) // 8


def pack(values_NK: NDArray[np.int64], width: int) -> NDArray[np.uint8]:
    """Return the bytes [N, B] of numbers below 2 ** width."""
    bits = (values_NK[:, :, None] >> np.arange(width)) & 1
    return np.packbits(bits.reshape(len(values_NK), -1).astype(np.uint8), axis=1, bitorder="little")


def unpack(
    flat: NDArray[np.uint8], size: int, begin: int, count: int, width: int
) -> NDArray[np.uint32]:
    """Return `count` numbers [N, count] of every record.

    Args:
        flat: N records of `size` bytes, and SPARE bytes more.
        size: bytes of a record.
        begin: where a record's packed bytes begin.
        count: numbers of a record.
        width: bits of a number.
    """
    # Four bytes at every byte: a number's bits lie in the four that begin where its first bit is.
    words_NB = np.ndarray(((len(flat) - SPARE) // size, size), "<u4", flat.data, 0, (size, 1))
    first_K = np.arange(count) * width
    found_NK = words_NB[:, begin + (first_K >> 3)]
    found_NK >>= (first_K & 7).astype(np.uint32)
    found_NK &= np.uint32((1 << width) - 1)
    return found_NK
