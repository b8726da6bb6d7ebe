"""Mine a place in every language, and count."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from potstill import splits
from potstill.mining import javascript, python
from potstill.mining.places import Place


def mine(place: Place) -> Iterator[dict[str, Any] | str]:
    """Yield the functions of a place that stand alone, and the reason for each that does not."""
    return chain(python.mine(place), javascript.mine(place))


def modules(place: Place, split: str) -> Iterator[dict[str, str]]:
    """Yield group (collection and module, as rows have it) and text of a split's source files."""
    for path, text in chain(python.sources(place), javascript.sources(place)):
        group = f"{place.name}:{path}"
        if splits.split(group) == split:
            yield {"group": group, "text": text.decode("utf-8", "replace")}


def count(found: Iterable[dict[str, Any] | str]) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Return the rows, and how many functions were dropped for each reason."""
    rows: list[dict[str, Any]] = []
    reasons: Counter[str] = Counter()
    for each in found:
        if isinstance(each, str):
            reasons[each] += 1
        else:
            rows.append(each)
    return rows, reasons
