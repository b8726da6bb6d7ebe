"""From parts to a store: few large files and one sorted index."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from potstill import files
from potstill.logits import parts
from potstill.logits import store as logit_store
from potstill.logits.parts import Part
from potstill.logits.store import KEY_BYTES, PLACE, Header

FILE_BYTES = 256 << 20  # a data file ends with the part that reaches this


@dataclass(frozen=True)
class _Rows:
    """What the index says of the rows of one part."""

    keys: np.ndarray
    places: np.ndarray


def assemble(
    paths: Sequence[Path],
    out: Path,
    header: Header,
    visit: Callable[[Part], None] = lambda _: None,
    file_bytes: int = FILE_BYTES,
) -> None:
    """Write a store of the rows of parts; a key that stands in several is taken from the first.

    Args:
        paths: the parts, in order; one is in memory at a time.
        out: the folder to make.
        header: what the store is.
        visit: is shown each part with the rows that are taken.
        file_bytes: size at which a data file ends.
    """
    out.mkdir(parents=True)
    keys = [parts.read_keys(path) for path in paths]
    flat = np.concatenate(keys).view(f"S{KEY_BYTES}")[:, 0]
    first = np.zeros(len(flat), bool)
    first[np.unique(flat, return_index=True)[1]] = True
    taken = np.split(first, np.cumsum([len(part) for part in keys])[:-1])
    writer = _Writer(out, file_bytes)
    for path, chosen in zip(paths, taken, strict=True):
        part = parts.read_part(path)
        part = part if chosen.all() else _some(part, chosen)
        visit(part)
        writer.add(part)
    writer.finish()
    logit_store.write_header(out, header)


def _some(part: Part, chosen: np.ndarray) -> Part:
    blobs = [blob for blob, take in zip(part.blobs(), chosen, strict=True) if take]
    data = np.concatenate([np.zeros(0, np.uint8), *blobs])
    return Part(part.keys[chosen], part.tokens[chosen], part.sizes[chosen], data)


class _Writer:
    """Data files that are named by their hash once they are whole, and the index of their rows."""

    def __init__(self, out: Path, file_bytes: int) -> None:
        self._out, self._limit = out, file_bytes
        self._rows: list[_Rows] = []
        self._names: list[str] = []
        self._open()

    def _open(self) -> None:
        self._path = self._out / ".data.partial"
        self._file = self._path.open("wb")
        self._digest, self._size = hashlib.sha256(), 0

    def add(self, part: Part) -> None:
        """Append a part's rows."""
        places = np.zeros(len(part.sizes), PLACE)
        sizes = part.sizes.astype(np.uint64)
        places["offset"] = self._size + np.cumsum(sizes) - sizes
        places["file"] = len(self._names)
        places["bytes"], places["tokens"] = part.sizes, part.tokens
        self._rows.append(_Rows(part.keys, places))
        data = part.data.tobytes()
        self._file.write(data)
        self._digest.update(data)
        self._size += len(data)
        if self._size >= self._limit:
            self._close()
            self._open()

    def _close(self) -> None:
        self._file.close()
        if self._size == 0 and self._names:
            self._path.unlink()
            return
        self._names.append(f"data-{self._digest.hexdigest()[:32]}.bin")
        files.publish(self._path, self._out / self._names[-1])

    def finish(self) -> None:
        """Write the index, sorted by key."""
        self._close()
        keys = np.concatenate([rows.keys for rows in self._rows]).view(f"S{KEY_BYTES}")[:, 0]
        places = np.concatenate([rows.places for rows in self._rows])
        number = {name: place for place, name in enumerate(sorted(set(self._names)))}
        places["file"] = np.array([number[name] for name in self._names])[places["file"]]
        order = np.argsort(keys)
        np.save(self._out / "keys.npy", keys[order])
        np.save(self._out / "places.npy", places[order])
