"""Codec `topk`: the k most probable ids, their log-probabilities in 6 bits, the mass of the rest.

A token is one record of fixed size. Its ids are in ascending order, split as Elias and Fano do: the
low bits of each are packed, the high ones are a bitmap in which the j-th one stands at high_j + j.
At 49,152 ids 50 of them take 75 bytes instead of 100, at 151,936 84 instead of 113.

A log-probability is stored as its gap to the most probable token's: a 63rd of the token's largest
gap each step. The level of all follows from the tail: kept tokens and tail sum to one. A gap is off
by at most a 126th of the largest (which is rounded up to an eighth of a nat), and a log-probability
by at most twice that, since the level moves too. Gaps beyond 31.875 nats are stored as that.
For what this is in nats of KL see docs/facts.md.

Source: Elias 1974, Fano 1971 (quasi-succinct sequences).

Dimensions: N tokens, V vocabulary, K tokens kept, B bytes of a record.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from potstill.errors import InputError
from potstill.logits.codecs import Blob, DamagedError, Place, bits
from potstill.logits.topk import TopK, truncate

VERSION = 1
SIGNAL = TopK
GAP_BITS = 6
LEVELS = (1 << GAP_BITS) - 1
RANGE_STEP = 1 / 8  # nats; a byte holds the largest gap in these
SMALLEST_LOG = np.float32(-6e-8)  # of a tail that is nearly everything: log(1 - exp(0)) is infinite
BLOCK = 4096  # tokens decoded at a time: what is made between fits into the processor's cache


class TopKCodec:
    """See the module's text."""

    def __init__(self, vocab_size: int, k: int) -> None:
        self.vocab_size = vocab_size
        self.k = min(k, vocab_size)
        self._low = min(
            range(bits.MAX_WIDTH + 1), key=lambda low: self.k * low + self._high_bits(low)
        )
        self._low_at = 3  # after the tail (float16) and the largest gap (uint8)
        self._high_at = self._low_at + bits.num_bytes(self.k, self._low)
        self._gaps_at = self._high_at + bits.num_bytes(self._high_bits(self._low), 1)
        self.record_bytes = self._gaps_at + bits.num_bytes(self.k, GAP_BITS)

    def _high_bits(self, low: int) -> int:
        return ((self.vocab_size - 1) >> low) + self.k

    def select(self, logits_NV: torch.Tensor, places: Sequence[Place]) -> TopK:  # noqa: ARG002
        """Return the top k with the exact mass of the rest."""
        return truncate(logits_NV, self.k)

    def join(self, parts: Sequence[TopK]) -> TopK:
        """Return the distributions of several chunks as one."""
        return TopK(
            torch.cat([part.ids_NK for part in parts]),
            torch.cat([part.log_probs_NK for part in parts]),
            torch.cat([part.log_tail_N for part in parts]),
        )

    def encode(self, signal: TopK, sizes: Sequence[int]) -> list[Blob]:
        """Return the records of each row."""
        order_NK = signal.ids_NK.argsort(-1)
        ids_NK = signal.ids_NK.gather(-1, order_NK).cpu().numpy()
        log_probs_NK = signal.log_probs_NK.float().gather(-1, order_NK).cpu().numpy()
        tail_N = signal.log_tail_N.float().cpu().numpy()
        records_NB = np.zeros((len(ids_NK), self.record_bytes), np.uint8)
        records_NB[:, :2] = tail_N.astype("<f2").view(np.uint8).reshape(-1, 2)
        gaps_NK = log_probs_NK.max(-1, keepdims=True) - log_probs_NK
        range_N = np.ceil(gaps_NK.max(-1) / RANGE_STEP).clip(1, 255)
        records_NB[:, 2] = range_N
        codes_NK = np.rint(gaps_NK / (range_N[:, None] * RANGE_STEP) * LEVELS).clip(0, LEVELS)
        low_NK = ids_NK & ((1 << self._low) - 1)
        bitmap_NH = np.zeros((len(ids_NK), self._high_bits(self._low)), np.int64)
        np.put_along_axis(bitmap_NH, (ids_NK >> self._low) + np.arange(self.k), 1, axis=1)
        records_NB[:, self._low_at : self._high_at] = bits.pack(low_NK, self._low)
        records_NB[:, self._high_at : self._gaps_at] = bits.pack(bitmap_NH, 1)
        records_NB[:, self._gaps_at :] = bits.pack(codes_NK.astype(np.int64), GAP_BITS)
        borders = np.cumsum(sizes)[:-1] * self.record_bytes
        return np.split(records_NB.reshape(-1), borders)

    def decode(self, blobs: Sequence[Blob], sizes: Sequence[int]) -> TopK:
        """Return the distributions; ids are in ascending order.

        Raises:
            DamagedError: a length, an id or a bitmap that `encode` does not make.
        """
        if any(len(b) != n * self.record_bytes for b, n in zip(blobs, sizes, strict=True)):
            raise DamagedError
        flat = np.concatenate([*blobs, np.zeros(bits.SPARE, np.uint8)])
        num_tokens = sum(sizes)
        ids_NK = np.empty((num_tokens, self.k), np.int64)
        log_probs_NK = np.empty((num_tokens, self.k), np.float32)
        log_tail_N = np.empty(num_tokens, np.float32)
        for start in range(0, num_tokens, BLOCK):
            part = slice(start, min(start + BLOCK, num_tokens))
            inside = flat[start * self.record_bytes : part.stop * self.record_bytes + bits.SPARE]
            records_NB = inside[: -bits.SPARE].reshape(-1, self.record_bytes)
            log_tail_N[part] = records_NB[:, :2].copy().view("<f2")[:, 0]
            self._decode_ids(inside, records_NB, ids_NK[part])
            self._decode_gaps(inside, records_NB, log_tail_N[part], log_probs_NK[part])
        return TopK(*map(torch.from_numpy, (ids_NK, log_probs_NK, log_tail_N)))

    def _decode_ids(self, flat: Blob, records_NB: Blob, ids_NK: NDArray[np.int64]) -> None:
        bitmap_NH = np.unpackbits(
            records_NB[:, self._high_at : self._gaps_at], axis=1, bitorder="little"
        )
        places = np.flatnonzero(bitmap_NH.view(bool))
        if len(places) != ids_NK.size:
            raise DamagedError
        width = bitmap_NH.shape[1]
        first_N1 = np.arange(0, len(records_NB) * width, width)[:, None]
        np.subtract(places.reshape(ids_NK.shape), first_N1, out=ids_NK)
        ids_NK -= np.arange(self.k)
        ids_NK <<= self._low
        ids_NK |= bits.unpack(flat, self.record_bytes, self._low_at, self.k, self._low)
        if ids_NK.size and (ids_NK[:, -1].max() >= self.vocab_size or ids_NK[:, 0].min() < 0):
            raise DamagedError

    def _decode_gaps(
        self,
        flat: Blob,
        records_NB: Blob,
        log_tail_N: NDArray[np.float32],
        log_probs_NK: NDArray[np.float32],
    ) -> None:
        codes_NK = bits.unpack(flat, self.record_bytes, self._gaps_at, self.k, GAP_BITS)
        step_N1 = records_NB[:, 2:3] * np.float32(-RANGE_STEP / LEVELS)
        np.multiply(codes_NK, step_N1, out=log_probs_NK, casting="same_kind")
        total_N = np.exp(log_probs_NK).sum(-1)
        kept_N = np.log(-np.expm1(np.minimum(log_tail_N, SMALLEST_LOG)))
        log_probs_NK += (kept_N - np.log(total_N))[:, None]

    def measure(self, signal: TopK) -> tuple[str, NDArray[np.float32]]:
        """Return the probability of the kept tokens."""
        return "kept_mass", -np.expm1(signal.log_tail_N.numpy())


def make(*, vocab_size: int, k: int, seed: int) -> TopKCodec:  # noqa: ARG001 - nothing is drawn
    """Return the codec; a `k` above the vocabulary keeps all of it.

    Raises:
        InputError: k is below 1.
    """
    if k < 1:
        raise InputError(f"k is {k}: keep at least one token")
    return TopKCodec(vocab_size, k)
