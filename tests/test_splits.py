"""Splits: what a name alone decides stays so for ever, and every level has its share.

A test that fails here says that tasks moved between splits: put them back, do not mend the test.
"""

import hashlib
import re
from collections import Counter

import pytest
from potstill import katas, splits
from potstill.imports import ROOT
from potstill.splits import SPLITS, split

FIRST_TEST_FAMILIES = """
    all_above append_item average_of_two best_profit common_prefix count_greater_than_average
    count_words countdown digital_root divide fahrenheit_to_celsius index_of_largest is_balanced
    is_number is_palindrome longest_word lower_and_strip merge_intervals merge_sorted
    missing_number most_common_letter number_to_text power prime_factors product reverse_number
    sort_numbers squares subtract without_last
"""


def by_level():
    """Return level -> how many kata families each split has."""
    found = {}
    for family in katas.FAMILIES:
        found.setdefault(family.level, Counter())[split(family.name)] += 1
    return dict(sorted(found.items()))


def test_the_test_families_are_fixed_for_ever():
    now = {family.name for family in katas.FAMILIES if split(family.name) == "test"}
    assert set(FIRST_TEST_FAMILIES.split()) - now == set()


def test_no_name_ever_moves():
    """Of a thousand names that stand for all others, the split of each."""
    lines = "".join(f"{n} {split(f'name_{n}')}\n" for n in range(1000))
    assert hashlib.sha256(lines.encode()).hexdigest() == (
        "2f009223a9f38ac055a7645505e2e0983f737b1f90205226e9285a649a092f88"
    )


def test_the_shares_are_those_that_the_bounds_say():
    counts = Counter(split(f"module.{n}") for n in range(20_000))
    assert counts["train"] / 20_000 == pytest.approx(splits.VALIDATION_FROM, abs=0.01)
    share = splits.TEST_FROM - splits.VALIDATION_FROM
    assert counts["validation"] / 20_000 == pytest.approx(share, abs=0.01)
    assert counts["test"] / 20_000 == pytest.approx(share, abs=0.01)


def test_every_level_has_its_share_of_families_in_every_split():
    for level, counts in by_level().items():
        total = counts.total()
        for name in ("validation", "test"):
            assert counts[name] == pytest.approx(0.15 * total, abs=max(1.5, 0.05 * total)), level


def test_the_table_in_the_documents_is_true():
    page = (ROOT / "docs/katas.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| (\d) \| (\d+) \| (\d+) \| (\d+) \|$", page, re.MULTILINE)
    counts = [(level, *(found[name] for name in SPLITS)) for level, found in by_level().items()]
    assert [tuple(map(int, row)) for row in told] == counts
