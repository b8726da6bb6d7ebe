"""From the logits of one position to the next id, the same in every runtime.

The random number of a position depends on seed, prompt, sample and position alone, so the batch,
the order and the slot in which a request is decoded do not change what it draws. Two runtimes, or
two batches, whose logits differ in the last digits draw the same id, but for a number between.

Dimensions: V vocabulary.

Source: J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011 (Philox).
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from potstill.runtime.request import Sampling

_BLOCK = 256


class Sampler:
    """Chooses the ids of one answer.

    Args:
        sampling: the settings.
        prompt: ids of the prompt.
        sample: number among several answers to this prompt.
    """

    def __init__(self, sampling: Sampling, prompt: Sequence[int], sample: int = 0) -> None:
        self._sampling = sampling
        self._key = (sampling.seed, _hash(prompt, sample))

    def choose(self, logits_V: np.ndarray, position: int) -> int:
        """Return the id of the answer's `position`; ties of the greedy choice go to the lowest."""
        if self._sampling.temperature == 0:
            return int(logits_V.argmax())
        shares_V = probabilities(logits_V, self._sampling)
        # Blocks first: to add up a whole vocabulary would take as long as all else here. In the
        # order of ids, so that two close candidates that change places change nothing.
        blocks = np.add.reduceat(shares_V, np.arange(0, len(shares_V), _BLOCK)).cumsum()
        block, drawn = _place(blocks, self._uniform(position) * blocks[-1])
        first = block * _BLOCK
        before = blocks[block - 1] if block else 0.0
        return first + _place(shares_V[first : first + _BLOCK].cumsum(), drawn - before)[0]

    def _uniform(self, position: int) -> float:
        """Return a number from [0, 1): raw bits, as NumPy promises these for all versions."""
        bits = np.random.Philox(key=np.array(self._key, np.uint64), counter=[position, 0, 0, 0])
        return float(int(bits.random_raw()) >> 11) * 2.0**-53


def _place(sums: np.ndarray, drawn: float) -> tuple[int, float]:
    """Return where running sums first exceed what was drawn, and that; rounding counts for none."""
    drawn = min(drawn, float(np.nextafter(sums[-1], 0)))
    return int(np.searchsorted(sums, drawn, side="right")), drawn


def probabilities(logits_V: np.ndarray, sampling: Sampling) -> np.ndarray:
    """Return the probabilities [V] that ids are drawn with: float64 of sum one, 0 for never.

    Top-k keeps what equals the k-th logit. Top-p keeps the likeliest ids, ties by the lower id
    first, until they reach the share: always one at least.
    """
    weights_V = logits_V.astype(np.float64)  # changed in place: fresh memory takes most of the time
    weights_V /= max(sampling.temperature, 1e-30)
    if 0 < sampling.top_k < len(weights_V):
        least = np.partition(weights_V, -sampling.top_k)[-sampling.top_k]
        weights_V[weights_V < least] = -np.inf
    weights_V -= weights_V.max()
    np.exp(weights_V, out=weights_V)
    weights_V /= weights_V.sum()
    if sampling.top_p < 1:
        inside = _largest(weights_V, sampling.top_p)
        largest = weights_V[inside]
        weights_V[:] = 0
        weights_V[inside] = largest / largest.sum()
    return weights_V


def _largest(weights: np.ndarray, share: float) -> np.ndarray:
    """Return the places, ascending, of the largest weights that reach a share."""
    # All that lie below the bound together make up less than the rest: they need no sorting.
    few = np.flatnonzero(weights > (1 - share) / len(weights))
    if not len(few):  # rounding: all are equal
        few = np.arange(len(weights))
    order = few[np.argsort(-weights[few], kind="stable")]
    before = np.cumsum(weights[order]) - weights[order]
    inside = before < share
    inside[0] = True
    return np.sort(order[inside])


def logprobs(logits_V: np.ndarray, chosen: int, top: int) -> tuple[float, dict[int, float]]:
    """Return the log-probability of an id and those of the `top` likeliest, in nats.

    They are the model's own: before temperature, top-k, top-p and constraint. -inf: impossible.
    """
    scores = logits_V.astype(np.float64)
    scores -= scores.max()
    total = np.log(np.exp(scores).sum())
    top = min(top, len(scores))
    found = np.argpartition(-scores, top - 1)[:top] if top else np.empty(0, np.int64)
    found = found[np.lexsort((found, -scores[found]))]
    return float(scores[chosen] - total), {int(i): float(scores[i] - total) for i in found}


def _hash(prompt: Sequence[int], sample: int) -> int:
    data = np.asarray([sample, *prompt], np.int64).tobytes()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
