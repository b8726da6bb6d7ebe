"""In which natural language a request is told.

Requests are short, and half of their words may be code, so no language is named for sure: a request
is foreign where none of the wanted languages is at all likely. What looks like code is taken off
first; words around it, such as "Write a function", stay and speak for their language.

A request of a few words, or one that mixes languages, may pass. Of a wanted language nearly nothing
is refused: docs/facts.md has what was measured.

Source: py3langid, after Lui and Baldwin 2012 ("langid.py"): naive Bayes over n-grams of bytes.
"""

import re
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from potstill.errors import InputError
from potstill.params import closest

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

LEAST = 0.03  # probability of the wanted languages below which a request is foreign,
LEAST_SHORT = 0.005  # and that of one with fewer letters than
SHORT_BYTES = 32  # of UTF-8
CLEAR = 0.5  # probability from which on a language is named
UNCLEAR = "unclear"
_LOOKED_AT = 2000  # characters of a request: more say no more
_CODE = re.compile(
    r"```.*?(?:```|$)"  # blocks
    r"|`[^`\n]*`|\"[^\"\n]*\"|(?<!\w)'[^'\n]*'(?!\w)"  # in quotes
    r"|[!-~]*(?:[_\d=<>{}\[\]()/\\@#$%^&*|~+]|\w\.\w|[a-z][A-Z]|::)[!-~]*",  # by their signs
    re.DOTALL,
)


def check(languages: Iterable[str]) -> None:
    """Refuse names of languages that cannot be told.

    Raises:
        InputError: one is no code of ISO 639 that py3langid knows.
    """
    labels = _identifier().labels
    for name in languages:
        if name not in labels:
            raise InputError(f"curate.request_languages has {name}; {closest(name, labels)}")


def language(request: str) -> str:
    """Return the language of a request, a code of ISO 639, or `UNCLEAR`."""
    shares = _shares(_words(request))
    name = max(shares, key=lambda name: shares[name])
    return name if shares[name] >= CLEAR else UNCLEAR


def foreign(request: str, wanted: Iterable[str]) -> str | None:
    """Return in which language a request seems told, if it is told in none of the wanted."""
    words = _words(request)
    letters = sum(len(sign.encode()) for sign in words if sign.isalpha())
    shares, least = _shares(words), LEAST if letters >= SHORT_BYTES else LEAST_SHORT
    if not letters or sum(shares[name] for name in wanted) >= least:
        return None
    return max(shares, key=lambda name: shares[name])


def _words(request: str) -> str:
    """Return a request without what looks like code."""
    return " ".join(_CODE.sub(" ", request[:_LOOKED_AT]).split())


@lru_cache(maxsize=4096)  # a task has several answers
def _shares(words: str) -> dict[str, float]:
    """Return the probability of each language; without letters all are alike."""
    return dict(_identifier().rank(words))


@cache
def _identifier() -> "LanguageIdentifier":
    """Return the model, which takes 100 MB."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
