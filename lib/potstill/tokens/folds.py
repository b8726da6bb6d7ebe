"""Halves of the training rows that share no family: a teacher learns one and scores the other.

On rows that it was adapted on, a teacher repeats their labels with more confidence than it has
elsewhere: a student that follows it there learns the labels again, and not what the teacher knows.
So rows have a fold by the hash of their group, and a checkpoint says in lineage.json which folds it
was trained on, by itself or as what it was made from.
"""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from potstill import files
from potstill.models.checkpoint import LINEAGE

Fold = Literal[0, 1]
FOLDS: tuple[Fold, ...] = (0, 1)
# The smallest whole number with which both folds have, of each level, as many of the 140 first kata
# families in training, to within one.
SALT = 613


def fold_of(group: str) -> int:
    """Return the fold of a group's rows; a group (a kata family, a module) is in one whole."""
    digest = hashlib.sha256(f"fold {SALT} {group}".encode("utf-8", "surrogatepass")).digest()
    return digest[0] % len(FOLDS)


def trained_on(checkpoint: Path) -> list[int]:
    """Return the folds that a checkpoint was trained on here; of one that was fetched, none."""
    path = checkpoint / LINEAGE
    return sorted(files.read_json(path)["trained_on_folds"]) if path.exists() else []


def record(checkpoint: Path, folds: Iterable[int]) -> None:
    """Write which folds a checkpoint was trained on."""
    files.write_json(checkpoint / LINEAGE, {"trained_on_folds": sorted(set(folds))})
