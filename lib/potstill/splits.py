"""Which split a kata family, a task of your own or a mined module belongs to: for ever.

Choices read validation: settings, checkpoints, when to stop. Reports read test. The name alone
decides, so nothing moves to another split when families are added, or when a seed, a share or a
file's name changes; else a later choice would have seen what an earlier report was measured on.
"""

import hashlib
from typing import Literal

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
# What is below is train: 70 %. Two equal parts remain, since a choice on validation can be no
# finer than its families are many, nor a report on test.
VALIDATION_FROM, TEST_FROM = 0.70, 0.85
# The smallest whole number with which every level of the 200 first kata families has, to within
# one family, 15 % of them in validation and 15 % in test.
SALT = 4562


def split(name: str) -> Split:
    """Return the split of a family or a module."""
    digest = hashlib.sha256(f"{SALT} {name}".encode()).digest()
    place = int.from_bytes(digest[:6]) / 2**48  # uniform in [0, 1)
    if place < VALIDATION_FROM:
        return "train"
    return "validation" if place < TEST_FROM else "test"
