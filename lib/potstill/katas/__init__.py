"""Katas: small programming tasks with references and tests in Python and JavaScript.

A family is a task with several phrasings and values; families, never instances, are divided
between training and held-out. See `family.Family` to add one: write it into the tuple of a module
here, and the tests check both references against each other.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

from potstill.errors import InputError
from potstill.katas import (
    arithmetic,
    branches,
    decisions,
    dictionaries,
    formulas,
    list_algorithms,
    list_changes,
    list_loops,
    lists,
    matrices,
    number_algorithms,
    number_loops,
    numerals,
    puzzles,
    string_algorithms,
    string_loops,
    strings,
    windows,
    words,
)
from potstill.katas.family import Family

FAMILIES: tuple[Family, ...] = (
    *arithmetic.FAMILIES,
    *branches.FAMILIES,
    *decisions.FAMILIES,
    *dictionaries.FAMILIES,
    *formulas.FAMILIES,
    *list_algorithms.FAMILIES,
    *list_changes.FAMILIES,
    *list_loops.FAMILIES,
    *lists.FAMILIES,
    *matrices.FAMILIES,
    *number_algorithms.FAMILIES,
    *number_loops.FAMILIES,
    *numerals.FAMILIES,
    *puzzles.FAMILIES,
    *string_algorithms.FAMILIES,
    *string_loops.FAMILIES,
    *strings.FAMILIES,
    *windows.FAMILIES,
    *words.FAMILIES,
)

LANGUAGES = ("python", "javascript")


def instances(seed: int, per_family: int, languages: Sequence[str]) -> list[dict[str, Any]]:
    """Return task rows: at most `per_family` different tasks of each family, in each language.

    Equal arguments give equal rows, and the rows of a smaller `per_family` come first within their
    family. A row has id, source, licence, language, family, level, task, entry_point, plan,
    reference and tests ([{"args": [...], "expected": ...}], JSON values).

    Raises:
        InputError: a language that the katas are not written in.
    """
    unknown = [language for language in languages if language not in LANGUAGES]
    if unknown:
        raise InputError(
            f"katas: language {unknown[0]!r}; allowed: {', '.join(LANGUAGES)}: change the list of "
            "languages"
        )
    return [row for family in FAMILIES for row in family.instances(seed, per_family, languages)]


def split(family_name: str, heldout_share: float) -> Literal["train", "heldout"]:
    """Return the side of a family, by the hash of its name alone.

    Of each level the same share is held out: the first families in the order of their hashes. A
    name that is not in the library is held out with the probability `heldout_share`.
    """
    levels = {family.name: family.level for family in FAMILIES}
    if family_name not in levels:
        return "heldout" if _rank(family_name) < heldout_share else "train"
    peers = sorted((n for n in levels if levels[n] == levels[family_name]), key=_rank)
    num_heldout = round(len(peers) * heldout_share)
    return "heldout" if family_name in peers[:num_heldout] else "train"


def _rank(name: str) -> float:
    """Return a number in [0, 1) that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]) / 2**48
