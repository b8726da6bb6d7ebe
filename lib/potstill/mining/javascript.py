"""JavaScript functions that stand alone, as `python` has them: `worker.mjs` reads them with acorn.

A function counts as documented by the JSDoc, or the comment, that ends right above it. Functions of
the top level are meant: declarations, those that a name is given, and those that are exported in
either syntax. `import` and `require` drop what needs them.
"""

import atexit
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from potstill import files
from potstill.mining.places import Place
from potstill.node import Worker

_SUFFIXES = (".js", ".mjs", ".cjs")
_BATCH = 32  # files that the parser reads at a time
_MAX_SECONDS = 60.0  # for a batch
_worker = Worker(Path(__file__).with_name("worker.mjs"))
atexit.register(_worker.close)


def mine(place: Place) -> Iterator[dict[str, Any] | str]:
    """Yield the documented functions of a place, and the reason for each that is dropped.

    Rows: as `python.mine` yields them. A file on which the parser ends is `unreadable`, once.

    Raises:
        InputError: Node or acorn is not installed.
    """
    found_files = sources(place)
    while batch := list(islice(found_files, _BATCH)):
        texts = [text.decode("utf-8", "replace") for _, text in batch]
        for (path, _), found in zip(batch, _functions(texts), strict=True):
            for each in found:
                yield each if isinstance(each, str) else _row(each, place, path)


def sources(place: Place) -> Iterator[tuple[str, bytes]]:
    """Yield path and bytes of each JavaScript file that a person may have written."""
    return (each for each in place.sources(_SUFFIXES) if ".min." not in each[0])


def _functions(texts: list[str]) -> list[list[dict[str, Any] | str]]:
    """Return what each text holds; a batch that does not end well is read one by one."""
    replies: Any = _worker.ask({"codes": texts}, _MAX_SECONDS)
    if isinstance(replies, list):
        return replies
    if len(texts) > 1:
        return [_functions([text])[0] for text in texts]
    return [["unreadable"]]


def _row(found: dict[str, Any], place: Place, path: str) -> dict[str, Any]:
    return {
        **found,
        "id": files.row_id(path, found["name"], found["code"]),
        "source": f"{place.name}:{path}",
        "licence": place.licence,
        "language": "javascript",
        "group": f"{place.name}:{path}",
    }
