"""Find texts that nearly repeat an earlier one: MinHash for candidates, exact Jaccard to decide.

A text is the set of its runs of `WORDS` words and signs. Two are near duplicates where the Jaccard
index of their sets reaches a share. Pairs are found by locality-sensitive hashing, so some below
the share are looked at in vain and few above it are missed: `benchmarks/dedupe.py` has the recall.

What is kept of a text (`Prints`) depends on the text alone. So prints can be made in any number of
processes and lie on the disk: the search holds 8 bytes a text for one band at a time.

Sources: Broder 1997 (shingles and their resemblance); Leskovec, Rajaraman and Ullman, "Mining of
Massive Datasets", section 3.4 (bands).
"""

import itertools
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import rensa

WORDS = 5
# Bands of 5: pairs of Jaccard 0.7 are met with 0.997. With bands of 4 (0.9998) five times as many
# pairs of 100,000 functions of one pattern were candidates, and they grow with the square.
PERMUTATIONS, BANDS = 160, 32
_SIGN = re.compile(r"\w+|[^\w\s]")
_SEED = 42
# Odd numbers that spread the ids of the words of a run over 64 bits: a hash by multiplication.
_FACTORS = np.random.default_rng(_SEED).integers(1 << 63, size=WORDS, dtype=np.uint64) * 2 + 1


@dataclass(frozen=True)
class Prints:
    """What is kept of texts.

    Attributes:
        runs: hashes of the runs of all texts, uint64.
        starts: where those of each text begin, with the end, int64 [texts + 1].
        bands: hashes of parts of the MinHash; texts that share one are compared, uint64
            [BANDS, texts].
    """

    runs: np.ndarray
    starts: np.ndarray
    bands: np.ndarray


def prints(texts: Sequence[str]) -> Prints:
    """Return what is kept of texts; case and blank space do not count."""
    if not texts:
        empty = np.zeros(0, np.uint64)
        return Prints(empty, np.zeros(1, np.int64), empty.reshape(BANDS, 0))
    runs, starts = _runs(texts)
    sign = rensa.RMinHash.digest_matrix_from_flat_token_hashes
    digests = np.array(sign(runs, starts, PERMUTATIONS, _SEED).to_rows(), np.uint64)
    parts = digests.reshape(len(texts), BANDS, PERMUTATIONS // BANDS)
    return Prints(runs, starts.astype(np.int64), _mixed(parts).T.copy())


def pairs(bands: Iterable[np.ndarray], groups: np.ndarray) -> np.ndarray:
    """Return the pairs of texts of different groups that share a band, int64 [pairs, 2].

    Each is (later, earlier), in the order of the later and then of the earlier.

    Args:
        bands: one after another, each uint64 [texts].
        groups: of the texts, uint64 [texts].
    """
    size = max(1, len(groups))
    codes = np.zeros(0, np.int64)
    for band in bands:
        order = np.argsort(band, kind="stable")  # so places of one hash ascend
        ranked = band[order]
        met = np.flatnonzero(ranked[1:] == ranked[:-1])
        found = [codes]
        for step in itertools.count(1):
            if not len(met):
                break
            earlier, later = order[met], order[met + step]
            unlike = groups[earlier] != groups[later]
            found.append(later[unlike] * size + earlier[unlike])
            met = met[met + step + 1 < size]
            met = met[ranked[met] == ranked[met + step + 1]]
        codes = np.unique(np.concatenate(found))
    return np.stack([codes // size, codes % size], axis=1)


def repeats(
    pairs: np.ndarray, runs: Callable[[int], frozenset[int]], least: float
) -> dict[int, int]:
    """Return for each text that nearly repeats an earlier one the first such; places in order.

    A text that repeats another is no longer compared with.

    Args:
        pairs: (later, earlier), ascending, as `pairs` returns them.
        runs: gives the hashes of the runs of the text at a place.
        least: Jaccard index from which on a text repeats another, 0 to 1.
    """
    found: dict[int, int] = {}
    numbers = ((int(later), int(other)) for later, other in pairs)  # few are held at a time
    for later, both in itertools.groupby(numbers, key=operator.itemgetter(0)):
        mine = runs(later)
        others = (other for _, other in both if other not in found)
        first = next((n for n in others if _jaccard(runs(n), mine) >= least), None)
        if first is not None:
            found[later] = first
    return found


def near(texts: Sequence[str], groups: Sequence[str], least: float) -> list[int | None]:
    """Return for each text the place of an earlier one that it nearly repeats, or None.

    The result depends on nothing but the texts, their order and the groups.

    Args:
        texts: in order of precedence.
        groups: texts of one group are siblings on purpose, and never compared.
        least: Jaccard index from which on a text repeats another, 0 to 1.
    """
    kept = prints(texts)
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    codes = np.array([numbers[group] for group in groups], np.uint64)

    def runs(place: int) -> frozenset[int]:
        return frozenset(kept.runs[kept.starts[place] : kept.starts[place + 1]].tolist())

    found = repeats(pairs(kept.bands, codes), runs, least)
    return [found.get(place) for place in range(len(texts))]


class _Ids(dict[str, int]):
    """The ids of words: hashes of 64 bits, each made once."""

    def __missing__(self, word: str) -> int:
        digest = blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        self[word] = int.from_bytes(digest, "little")
        return self[word]


def _runs(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the hashes of all runs, and where those of each text start, with the end: uint64.

    A text of fewer words than a run is filled up, so each has at least one.
    """
    ids = _Ids()
    fill = [0] * WORDS
    words: list[int] = []
    sizes = []
    for text in texts:
        mine = list(map(ids.__getitem__, _SIGN.findall(text.lower())))
        mine += fill[len(mine) :]
        words += mine
        sizes.append(len(mine))
    flat = np.array([*words, *fill[1:]], np.uint64)
    hashes = _mixed(np.stack([flat[n : len(words) + n] for n in range(WORDS)], axis=1))
    ends = np.cumsum(sizes)
    inner = np.ones(len(words), bool)  # runs that do not reach into the next text
    for back in range(1, WORDS):
        inner[ends - back] = False
    counts = np.array(sizes) - (WORDS - 1)
    return hashes[inner], np.array([0, *itertools.accumulate(counts.tolist())], np.uint64)


def _mixed(parts: np.ndarray) -> np.ndarray:
    """Return one hash for the numbers along the last axis, uint64."""
    hashes = (parts * _FACTORS[: parts.shape[-1]]).sum(axis=-1, dtype=np.uint64)
    mixed: np.ndarray = hashes ^ (hashes >> np.uint64(32))  # the upper half holds what it lacks
    return mixed


def _jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    return len(one & other) / len(one | other)
