"""Katas: small programming tasks with references and tests in Python and JavaScript.

A family is a task with several phrasings and values; families, never instances, are divided into
splits (`potstill.splits`). See `family.Family` to add one: write it into the tuple of a module
here, and the tests check both references against each other.
"""

from collections.abc import Sequence
from typing import Any

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
    patterns,
    puzzles,
    searches,
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
    *patterns.FAMILIES,
    *puzzles.FAMILIES,
    *searches.FAMILIES,
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
