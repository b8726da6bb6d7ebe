"""Codec `sampled`: ids drawn from the teacher with replacement, each with how often it came up.

What is drawn for a token follows from the seed, its row's key and its place in the row alone (and
from the teacher's probabilities), so neither batches nor a resumed run change it.

A row's bytes are the number of different ids of each of its tokens (uint8), then for each of these
the number id * k + (count - 1), in the fewest bytes that hold the largest: three for 50 draws from
up to 335,544 ids.

Source: Anshumann et al. 2025, "Sparse Logit Sampling", with the proposal equal to the teacher.

Dimensions: N tokens, V vocabulary, K draws, S different ids of the token that has most.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from potstill.errors import InputError
from potstill.logits.codecs import Blob, DamagedError, Place
from potstill.logits.sampled import Sampled

VERSION = 1
SIGNAL = Sampled
MAX_DRAWS = 255  # a byte holds how many different ids there are
BLOCK = 64  # tokens whose cumulative probabilities exist at a time, in float64


class SampledCodec:
    """See the module's text."""

    def __init__(self, vocab_size: int, k: int, seed: int) -> None:
        self.vocab_size, self.k, self.seed = vocab_size, k, seed
        self._pair_bytes = max(1, ((vocab_size * k - 1).bit_length() + 7) // 8)

    def select(self, logits_NV: torch.Tensor, places: Sequence[Place]) -> Sampled:
        """Draw K ids for each token."""
        uniform_NK = np.concatenate([self._uniform(place) for place in places])
        drawn_NK = torch.cat(
            [
                _draw(logits, uniform)
                for logits, uniform in zip(
                    logits_NV.split(BLOCK), torch.from_numpy(uniform_NK).split(BLOCK), strict=True
                )
            ]
        )
        return _count(drawn_NK.sort(-1).values.cpu().numpy())

    def _uniform(self, place: Place) -> np.ndarray:
        """Return numbers [tokens of the place, K] in [0, 1), float64."""
        digest = hashlib.sha256(f"{self.seed}/{place.key}".encode()).digest()
        generator = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
        return generator.random((place.end, self.k))[place.start :]

    def join(self, parts: Sequence[Sampled]) -> Sampled:
        """Return the draws of several chunks as one."""
        most = max(part.ids_NS.shape[1] for part in parts)

        def padded(tensors: list[torch.Tensor]) -> torch.Tensor:
            return torch.cat([functional.pad(t, (0, most - t.shape[1])) for t in tensors])

        return Sampled(
            padded([part.ids_NS for part in parts]), padded([part.weights_NS for part in parts])
        )

    def encode(self, signal: Sampled, sizes: Sequence[int]) -> list[Blob]:
        """Return the counts and pairs of each row."""
        count_NS = np.rint(signal.weights_NS.cpu().numpy() * self.k).astype(np.int64)
        drawn_NS = count_NS > 0
        distinct_N = drawn_NS.sum(-1)
        pairs = (signal.ids_NS.cpu().numpy() * self.k + count_NS - 1)[drawn_NS]
        packed = pairs.astype("<i8").view(np.uint8).reshape(-1, 8)[:, : self._pair_bytes]
        borders = np.cumsum(sizes)[:-1]
        pair_borders = np.cumsum([part.sum() for part in np.split(distinct_N, borders)])[:-1]
        heads = np.split(distinct_N.astype(np.uint8), borders)
        bodies = np.split(packed, pair_borders)
        return [
            np.concatenate([head, body.reshape(-1)])
            for head, body in zip(heads, bodies, strict=True)
        ]

    def decode(self, blobs: Sequence[Blob], sizes: Sequence[int]) -> Sampled:
        """Return the draws; ids are in ascending order, padding last.

        Raises:
            DamagedError: a length or an id that `encode` does not make, or counts that are not K.
        """
        rows, none = list(zip(blobs, sizes, strict=True)), np.zeros(0, np.uint8)
        distinct_N = np.concatenate([none, *(blob[:size] for blob, size in rows)]).astype(np.int64)
        body = np.concatenate([none, *(blob[size:] for blob, size in rows)])
        if len(distinct_N) != sum(sizes) or len(body) != distinct_N.sum() * self._pair_bytes:
            raise DamagedError
        wide = np.zeros((int(distinct_N.sum()), 8), np.uint8)
        wide[:, : self._pair_bytes] = body.reshape(-1, self._pair_bytes)
        ids, count = np.divmod(wide.view("<i8")[:, 0], self.k)
        drawn_NS = np.arange(distinct_N.max(initial=1)) < distinct_N[:, None]
        ids_NS = np.zeros(drawn_NS.shape, np.int64)
        count_NS = np.zeros(drawn_NS.shape, np.int64)
        ids_NS[drawn_NS], count_NS[drawn_NS] = ids, count + 1
        if (ids >= self.vocab_size).any() or (count_NS.sum(-1) != self.k).any():
            raise DamagedError
        weights_NS = torch.from_numpy((count_NS / self.k).astype(np.float32))
        return Sampled(torch.from_numpy(ids_NS), weights_NS)

    def measure(self, signal: Sampled) -> tuple[str, np.ndarray]:
        """Return the number of different ids of each token."""
        return "distinct_ids", (signal.weights_NS > 0).sum(-1).float().numpy()


def _draw(logits_NV: torch.Tensor, uniform_NK: torch.Tensor) -> torch.Tensor:
    """Return the ids [N, K] where the cumulative probability first exceeds the uniform numbers."""
    probs_NV = torch.softmax(logits_NV.float(), dim=-1)
    reached_NV = probs_NV.cumsum(-1, dtype=torch.float64)  # float32 would bias the last of many ids
    level_NK = uniform_NK.to(reached_NV.device) * reached_NV[:, -1:]
    last = logits_NV.shape[-1] - 1
    return torch.searchsorted(reached_NV, level_NK, right=True).clamp(max=last)


def _count(sorted_NK: np.ndarray) -> Sampled:
    """Return how often each id stands in rows of sorted ids."""
    first_NK = np.ones(sorted_NK.shape, bool)
    first_NK[:, 1:] = sorted_NK[:, 1:] != sorted_NK[:, :-1]
    column_NK = first_NK.cumsum(-1) - 1
    row_NK = np.broadcast_to(np.arange(len(sorted_NK))[:, None], sorted_NK.shape)
    shape = (len(sorted_NK), int(column_NK.max(initial=0)) + 1)
    ids_NS, count_NS = np.zeros(shape, np.int64), np.zeros(shape, np.float32)
    ids_NS[row_NK, column_NK] = sorted_NK
    np.add.at(count_NS, (row_NK, column_NK), 1)
    weights_NS = torch.from_numpy(count_NS / np.float32(sorted_NK.shape[1]))
    return Sampled(torch.from_numpy(ids_NS), weights_NS)


def make(*, vocab_size: int, k: int, seed: int) -> SampledCodec:
    """Return the codec.

    Raises:
        InputError: k is no number of draws that a byte can hold.
    """
    if not 1 <= k <= MAX_DRAWS:
        raise InputError(f"k is {k}: draw 1 to {MAX_DRAWS} ids of a token")
    return SampledCodec(vocab_size, k, seed)
