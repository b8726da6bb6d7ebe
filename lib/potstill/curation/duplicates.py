"""Find texts that nearly repeat an earlier one: MinHash for candidates, exact Jaccard to decide.

A text is the set of its runs of `WORDS` words and signs. Two are near duplicates where the Jaccard
index of their sets reaches a share. Pairs are found by locality-sensitive hashing, so some below
the share are looked at in vain and few above it are missed: `benchmarks/dedupe.py` has the recall.

Sources: Broder 1997 (shingles and their resemblance); Leskovec, Rajaraman and Ullman, "Mining of
Massive Datasets", section 3.4 (bands).
"""

import itertools
import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import rensa

WORDS = 5
PERMUTATIONS, BANDS = 128, 32  # bands of 4: pairs of Jaccard 0.7 are met with 0.9998
_SIGN = re.compile(r"\w+|[^\w\s]")
_SEED = 42
# Odd numbers that spread the ids of the words of a run over 64 bits: a hash by multiplication.
_FACTORS = np.random.default_rng(_SEED).integers(1 << 63, size=WORDS, dtype=np.uint64) * 2 + 1


def near(texts: Sequence[str], groups: Sequence[str], least: float) -> list[int | None]:
    """Return for each text the place of an earlier one that it nearly repeats, or None.

    A text that repeats another is no longer compared with. The result depends on nothing but the
    texts, their order and the groups.

    Args:
        texts: in order of precedence; case and blank space do not count.
        groups: texts of one group are siblings on purpose, and never compared.
        least: Jaccard index from which on a text repeats another, 0 to 1.
    """
    found: list[int | None] = [None] * len(texts)
    if not texts:
        return found
    runs, starts = _runs(texts)
    index = rensa.RMinHashLSH(least, PERMUTATIONS, BANDS)
    sign = rensa.RMinHash.digest_matrix_from_flat_token_hashes
    flags = index.query_duplicate_flags_matrix_one_shot(sign(runs, starts, PERMUTATIONS, _SEED))
    places = [place for place, is_met in enumerate(flags) if is_met]  # few: the rest is unlike all
    sets = {p: frozenset(runs[starts[p] : starts[p + 1]].tolist()) for p in places}
    texts_of = [list(map(str, each)) for each in sets.values()]
    digests = rensa.RMinHash.from_token_sets(texts_of, PERMUTATIONS, _SEED)
    index.insert_many(digests)
    for number, met in enumerate(index.query_all(digests)):
        place = places[number]
        earlier = (places[other] for other in sorted(met) if other < number)
        found[place] = next(
            (
                other
                for other in earlier
                if found[other] is None
                and groups[other] != groups[place]
                and _jaccard(sets[other], sets[place]) >= least
            ),
            None,
        )
    return found


def _runs(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the hashes of all runs, and where those of each text start, with the end: uint64.

    A text of fewer words than a run is filled up, so each has at least one.
    """
    ids: defaultdict[str, int] = defaultdict(itertools.count(1).__next__)
    fill = [0] * WORDS
    words: list[int] = []
    sizes = []
    for text in texts:
        mine = list(map(ids.__getitem__, _SIGN.findall(text.lower())))
        mine += fill[len(mine) :]
        words += mine
        sizes.append(len(mine))
    flat = np.array([*words, *fill[1:]], np.uint64)
    hashes = sum(
        flat[shift : len(words) + shift] * factor
        for shift, factor in zip(range(WORDS), _FACTORS, strict=True)
    )
    hashes ^= hashes >> np.uint64(32)  # the upper half holds what the lower lacks
    ends = np.cumsum(sizes)
    inner = np.ones(len(words), bool)  # runs that do not reach into the next text
    for back in range(1, WORDS):
        inner[ends - back] = False
    counts = np.array(sizes) - (WORDS - 1)
    return hashes[inner], np.array([0, *itertools.accumulate(counts.tolist())], np.uint64)


def _jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    return len(one & other) / len(one | other)
