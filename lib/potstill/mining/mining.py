"""Mine a place in every language, and count."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from potstill.mining import javascript, python
from potstill.mining.places import Place


def mine(place: Place) -> Iterator[dict[str, Any] | str]:
    """Yield the functions of a place that stand alone, and the reason for each that does not."""
    return chain(python.mine(place), javascript.mine(place))


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
