"""A policy is data: allowed node types, blocked names, deny patterns, rules and limits, in YAML."""

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from potstill.errors import InputError
from potstill.params import closest
from potstill.subset import rules_python

LANGUAGES = ("python", "javascript")
LIMITS = ("max_bytes", "max_nodes", "max_depth", "max_seconds")
FIELDS = {
    "python": ("patterns", "nodes", "blocked_calls", "blocked_names", "blocked_members", "rules"),
    "javascript": (
        "patterns",
        "nodes",
        "blocked_identifiers",
        "blocked_names",
        "blocked_members",
        "skipped_keys",
        "rules",
    ),
}
# Pythons from 3.8 on parse these as Constant and from 3.12 on do not list them; policies name them.
_OLDER_NODES = ("Num", "Str", "Bytes", "NameConstant", "Ellipsis")
# What \s means in JavaScript's regular expressions; \b, \d and \w are ASCII there.
_JAVASCRIPT_SPACE = (
    r"[\\t-\\r \\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000\\ufeff]"
)


@dataclass(frozen=True)
class Pattern:
    """A regular expression in JavaScript's dialect."""

    source: str
    expression: re.Pattern[str]
    word: str  # occurs in every match; empty where that is not plain to see

    def search(self, text: str) -> re.Match[str] | None:
        """Search, after the cheap question whether the word occurs at all."""
        return self.expression.search(text) if self.word in text else None


@dataclass(frozen=True)
class Language:
    """The rules of one language; all sets may be empty.

    Attributes:
        patterns: expressions tried on the text, in this order.
        nodes: allowed node types.
        blocked_calls: names that may not be called, as f() or x.f() (Python).
        blocked_identifiers: identifiers that may not occur, property names included (JavaScript).
        blocked_names: names that may not be read or bound; property names are not meant.
        blocked_members: attribute or property names that may not occur.
        skipped_keys: fields of a node whose children are not visited (JavaScript).
        rules: names of structural rules, see `rules_python.py` and `rules.mjs`.
    """

    patterns: tuple["Pattern", ...]
    nodes: frozenset[str]
    blocked_calls: frozenset[str]
    blocked_identifiers: frozenset[str]
    blocked_names: frozenset[str]
    blocked_members: frozenset[str]
    skipped_keys: frozenset[str]
    rules: frozenset[str]


@dataclass(frozen=True)
class Policy:
    """The rules of all languages with the limits of a check."""

    name: str
    max_bytes: int
    max_nodes: int
    max_depth: int
    max_seconds: float
    languages: dict[str, Language]


def names() -> list[str]:
    """Return the names of the policies that come with the package."""
    folder = resources.files(__package__) / "policies"
    return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir())


@lru_cache(maxsize=16)
def load(name: str) -> Policy:
    """Return a policy by its name, or from a YAML file of one's own.

    Raises:
        InputError: no such policy, or a file that is not one.
    """
    if name in names():
        text = (resources.files(__package__) / "policies" / f"{name}.yaml").read_text("utf-8")
    elif Path(name).is_file():
        text = Path(name).read_text(encoding="utf-8")
    else:
        raise InputError(f"no subset policy {name!r}; {closest(name, names())}, or a YAML file")
    try:
        tree = yaml.safe_load(text)
        _only(tree, ("limits", *LANGUAGES))
        _only(tree["limits"], LIMITS)
        limits = tree["limits"]
        return Policy(
            name,
            max_bytes=int(limits["max_bytes"]),
            max_nodes=int(limits["max_nodes"]),
            max_depth=int(limits["max_depth"]),
            max_seconds=float(limits["max_seconds"]),
            languages={key: _language(tree[key], key) for key in LANGUAGES},
        )
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError, re.error) as error:
        raise InputError(
            f"subset policy {name}: {type(error).__name__} {error}; see policies/edgecoder.yaml"
        ) from None


def _only(tree: Iterable[str], allowed: tuple[str, ...]) -> None:
    for key in tree:
        if key not in allowed:
            raise ValueError(f"{key!r}; {closest(key, allowed)}")


def _language(tree: dict[str, Any], language: str) -> Language:
    _only(tree, FIELDS[language])

    def words(key: str) -> frozenset[str]:
        return frozenset((tree.get(key) or "").split())

    if language == "python":
        _only(words("rules"), (*rules_python.RULES, *rules_python.TEXT_RULES))
        _only(words("nodes"), (*dir(ast), *_OLDER_NODES))
    return Language(
        patterns=tuple(map(_pattern, tree.get("patterns") or ())),
        nodes=words("nodes"),
        blocked_calls=words("blocked_calls"),
        blocked_identifiers=words("blocked_identifiers"),
        blocked_names=words("blocked_names"),
        blocked_members=words("blocked_members"),
        skipped_keys=words("skipped_keys"),
        rules=words("rules"),
    )


def _pattern(source: str) -> Pattern:
    expression = re.compile(re.sub(r"\\s", _JAVASCRIPT_SPACE, source), re.ASCII)
    parts = re.fullmatch(r"(?:\\b|\\s\+|\\[(.]|\w)+", source)
    words = re.findall(r"\w+", re.sub(r"\\[bs(.]", " ", source)) if parts else []
    return Pattern(source, expression, max(words, key=len, default=""))
