"""A policy is data: allowed node types, blocked names, deny patterns and limits, in YAML."""

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from potstill.errors import InputError
from potstill.params import closest

LANGUAGES = ("python", "javascript")


@dataclass(frozen=True)
class Language:
    """The rules of one language.

    Attributes:
        patterns: (name in the verdict, compiled expression), tried on the text in this order.
        nodes: allowed node types.
        blocked: names that may not be called (Python) or occur (JavaScript).
        skipped_keys: fields of a node whose children are not visited.
    """

    patterns: tuple[tuple[str, re.Pattern[str]], ...]
    nodes: frozenset[str]
    blocked: frozenset[str]
    skipped_keys: frozenset[str]


@dataclass(frozen=True)
class Policy:
    """The rules of all languages with the limits of a check."""

    name: str
    max_bytes: int
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
        limits = tree["limits"]
        languages = {key: _language(tree[key]) for key in LANGUAGES}
        return Policy(name, int(limits["max_bytes"]), float(limits["max_seconds"]), languages)
    except (yaml.YAMLError, KeyError, TypeError, ValueError, re.error) as error:
        raise InputError(
            f"subset policy {name}: {type(error).__name__} {error}; see policies/edgecoder.yaml"
        ) from None


def _language(tree: dict[str, Any]) -> Language:
    return Language(
        patterns=tuple((shown, re.compile(pattern)) for shown, pattern in tree["patterns"]),
        nodes=frozenset(tree["nodes"].split()),
        blocked=frozenset((tree.get("blocked_calls") or tree["blocked_globals"]).split()),
        skipped_keys=frozenset(tree.get("skipped_keys", ())),
    )
