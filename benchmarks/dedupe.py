"""Near-duplicate search here against datasketch's MinHash LSH on the same texts.

Texts of random words, one in ten a near copy of an earlier one: of the pairs at or above the share
the recall is printed for both sides. The reference signs with the same number of permutations and
bands and asks its index for each text; it does not verify, ours does. Both sides begin with the
texts, so both cut them into runs of words. One thread each, turn by turn.
"""

import json
import random
import re
import statistics
import time

from datasketch import MinHash, MinHashLSH
from potstill.curation import duplicates

NUM_TEXTS, NUM_WORDS, ROUNDS = 10_000, 120, 3
LEAST, GOAL, RECALL_GOAL = 0.7, 15, 0.95


def shingles(text: str) -> set[str]:
    """Return the runs of words of a text, joined: what the reference signs."""
    words = re.findall(r"\w+|[^\w\s]", text.lower())
    size = duplicates.WORDS
    return {" ".join(words[n : n + size]) for n in range(max(1, len(words) - size + 1))}


def jaccard(one: set[str], other: set[str]) -> float:
    """Return the share that two sets have in common."""
    return len(one & other) / len(one | other)


def texts() -> tuple[list[str], list[tuple[int, int]]]:
    """Return texts, and the planted pairs (earlier, later) that reach the share."""
    source = random.Random(0)
    vocabulary = [f"word{number}" for number in range(20_000)]
    num_first = NUM_TEXTS * 9 // 10
    rows = [source.choices(vocabulary, k=NUM_WORDS) for _ in range(num_first)]
    pairs = []
    for place in range(num_first, NUM_TEXTS):
        earlier = source.randrange(num_first)
        changed = list(rows[earlier])
        for spot in source.sample(range(NUM_WORDS), source.randint(0, 6)):
            changed[spot] = source.choice(vocabulary)
        rows.append(changed)
        pairs.append((earlier, place))
    found = [" ".join(row) for row in rows]
    sets = [shingles(text) for text in found]
    return found, [p for p in pairs if jaccard(sets[p[0]], sets[p[1]]) >= LEAST]


def theirs(found: list[str]) -> list[bool]:
    """Return whether each text has an earlier one that the reference takes for its like."""
    index = MinHashLSH(params=(duplicates.BANDS, duplicates.PERMUTATIONS // duplicates.BANDS),
                       num_perm=duplicates.PERMUTATIONS)  # fmt: skip
    flags = []
    for number, text in enumerate(found):
        digest = MinHash(num_perm=duplicates.PERMUTATIONS)
        digest.update_batch([run.encode() for run in shingles(text)])
        flags.append(bool(index.query(digest)))
        index.insert(number, digest)
    return flags


def main() -> None:
    """Run both sides in turn and print one line."""
    found, pairs = texts()
    groups = list(map(str, range(len(found))))
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(ROUNDS):
        started = time.perf_counter()
        ours = [place is not None for place in duplicates.near(found, groups, LEAST)]
        seconds["ours"].append(time.perf_counter() - started)
        started = time.perf_counter()
        reference = theirs(found)
        seconds["theirs"].append(time.perf_counter() - started)
    medians = {side: statistics.median(values) for side, values in seconds.items()}
    recall = {
        side: sum(flags[later] for _, later in pairs) / len(pairs)
        for side, flags in (("ours", ours), ("theirs", reference))
    }
    print(json.dumps({
        "claim": f"near duplicates among {NUM_TEXTS} texts of {NUM_WORDS} words",
        "reference": "datasketch MinHashLSH", "n": ROUNDS, "unit": "seconds",
        "value": round(medians["ours"], 2), "reference_value": round(medians["theirs"], 2),
        "speedup": round(medians["theirs"] / medians["ours"], 1), "goal": GOAL,
        "recall": {side: round(value, 4) for side, value in recall.items()},
        "recall_goal": RECALL_GOAL, "pairs": len(pairs),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
