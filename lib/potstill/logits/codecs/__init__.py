"""How a teacher's distributions become bytes and signals again: one module a codec."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from potstill.logits.sampled import Sampled
from potstill.logits.topk import TopK
from potstill.registry import Registry

Signal = TopK | Sampled
Blob = NDArray[np.uint8]


class Place(NamedTuple):
    """Neighbouring answer tokens of one row."""

    key: str  # of the row
    start: int  # the first token, counted from the row's first answer token
    end: int  # one past the last


class DamagedError(Exception):
    """Bytes that no encoder made."""


class Codec(Protocol):
    """What is kept of a distribution over `vocab_size` ids, and in which bytes."""

    def select(self, logits_NV: torch.Tensor, places: Sequence[Place]) -> Signal:
        """Return what is kept of a chunk's logits [N, V]; the places hold N tokens in order."""
        ...

    def join(self, parts: Sequence[Signal]) -> Signal:
        """Return the signals of several chunks as one."""
        ...

    def encode(self, signal: Signal, sizes: Sequence[int]) -> list[Blob]:
        """Return one blob for each row; a row has `sizes` tokens, which follow each other."""
        ...

    def decode(self, blobs: Sequence[Blob], sizes: Sequence[int]) -> Signal:
        """Return the signal of rows, one after the other.

        Raises:
            DamagedError: the blobs are not what `encode` makes of so many tokens.
        """
        ...

    def measure(self, signal: Signal) -> tuple[str, NDArray[np.float32]]:
        """Return the name of what tells how much was kept, and its value at each token [N]."""
        ...


class CodecModule(Protocol):
    """A module of the registry."""

    VERSION: int  # of the bytes; another version's are refused
    SIGNAL: type[Signal]  # what is decoded

    def make(self, *, vocab_size: int, k: int, seed: int) -> Codec:
        """Return the codec for a vocabulary.

        Raises:
            InputError: it cannot keep `k`.
        """
        ...


CODECS: Registry[CodecModule] = Registry(
    "codec",
    {"topk": "potstill.logits.codecs.topk", "sampled": "potstill.logits.codecs.sampled"},
)
