"""Near duplicates are those that brute force finds, and siblings are left alone."""

import random
import re

import pytest
from potstill.curation import duplicates

WORDS = [f"w{number}" for number in range(400)]


def copies(source, words, most):
    """Return near copies of some words, with up to so many replaced."""
    changed = list(words)
    for place in source.sample(range(len(words)), source.randint(0, most)):
        changed[place] = source.choice(WORDS)
    return changed


def shingles(text):
    words = re.findall(r"\w+|[^\w\s]", text.lower())
    return {tuple(words[n : n + 5]) for n in range(max(1, len(words) - 4))}


def jaccard(one, other):
    return len(one & other) / len(one | other)


def brute(texts, groups, least):
    sets = [shingles(text) for text in texts]
    found = []
    for place, mine in enumerate(sets):
        earlier = (
            other
            for other in range(place)
            if found[other] is None
            and groups[other] != groups[place]
            and jaccard(sets[other], mine) >= least
        )
        found.append(next(earlier, None))
    return found


@pytest.mark.parametrize("least", [0.5, 0.7, 0.9, 1.0])
def test_equal_to_brute_force(least):
    source = random.Random(3)
    first = [source.choices(WORDS, k=source.randint(8, 90)) for _ in range(150)]
    rows = [*first, *(copies(source, source.choice(first), 4) for _ in range(150))]
    source.shuffle(rows)
    texts = [" ".join(words) for words in rows]
    groups = [str(source.randrange(40)) for _ in rows]
    found, expected = duplicates.near(texts, groups, least), brute(texts, groups, least)
    missed = sum(a is None and b is not None for a, b in zip(found, expected, strict=True))
    pairs = sum(place is not None for place in expected)
    assert pairs > 20
    assert missed <= 0.05 * pairs
    if not missed:
        assert found == expected
    for place, other in enumerate(found):
        if other is not None:  # none is found in error
            sets = [shingles(texts[each]) for each in (other, place)]
            assert jaccard(*sets) >= least


def test_texts_of_no_and_few_words():
    texts = ["", "a b", "A  b", "a", "", "!!!"]
    assert duplicates.near(texts, list("abcdef"), 0.7) == [None, None, 1, None, 0, None]
    assert duplicates.near([], [], 0.7) == []
    assert duplicates.near(["x", "x"], ["g", "g"], 0.7) == [None, None]
