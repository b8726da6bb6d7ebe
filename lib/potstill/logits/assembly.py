"""From parts to a store: few large files and one sorted index, in memory of a fixed size."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from potstill import files
from potstill.logits import parts
from potstill.logits import store as logit_store
from potstill.logits.parts import Part
from potstill.logits.store import KEY_BYTES, PLACE, Header

BUCKETS = 64  # of keys, by their first byte
FILE_BYTES = 256 << 20  # a data file ends with the part that reaches this


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
    with tempfile.TemporaryDirectory(prefix=".index-", dir=out) as folder:
        taken = _first_of_each(paths, Path(folder))
        writer = _Writer(out, Path(folder), file_bytes)
        begin = 0
        for path in paths:
            part = parts.read_part(path)
            chosen = taken[begin : begin + len(part.tokens)]
            begin += len(part.tokens)
            part = part if chosen.all() else _some(part, chosen)
            visit(part)
            writer.add(part)
        writer.finish()
    logit_store.write_header(out, header)


def _first_of_each(paths: Sequence[Path], folder: Path) -> NDArray[np.bool_]:
    """Say of each row of the parts [R] whether none before it has its key."""
    index = _Index(folder / "rows", np.dtype([("row", "<u8")]))
    begin = 0
    for path in paths:
        keys = parts.read_keys(path)
        rows = np.arange(begin, begin + len(keys), dtype=np.uint64)
        index.add(keys, rows.view(index.kind))
        begin += len(keys)
    taken = np.zeros(begin, np.bool_)
    for sorted_keys, noted in index.sorted():
        first = np.ones(len(sorted_keys), np.bool_)
        first[1:] = sorted_keys[1:] != sorted_keys[:-1]
        taken[noted["row"][first]] = True
    return taken


def _some(part: Part, chosen: np.ndarray) -> Part:
    blobs = [blob for blob, take in zip(part.blobs(), chosen, strict=True) if take]
    data = np.concatenate([np.zeros(0, np.uint8), *blobs])
    return Part(part.keys[chosen], part.tokens[chosen], part.sizes[chosen], data)


class _Index:
    """What is noted of rows, in a file for each of BUCKETS ranges of their keys.

    Keys are hashes, so each range has as many: the rows of one are in memory at a time.
    """

    def __init__(self, folder: Path, kind: np.dtype[np.void]) -> None:
        folder.mkdir()
        self.kind = kind
        self._record = np.dtype([("key", f"S{KEY_BYTES}"), ("noted", kind)])
        self._files = [(folder / str(number)).open("w+b") for number in range(BUCKETS)]

    def add(self, keys: NDArray[np.uint8], noted: NDArray[np.void]) -> None:
        """Note something of rows with these keys [R, 16]."""
        records = np.empty(len(keys), self._record)
        records["key"] = np.ascontiguousarray(keys).view(f"S{KEY_BYTES}")[:, 0]
        records["noted"] = noted
        buckets = keys[:, 0] // (256 // BUCKETS)
        for number in np.unique(buckets).tolist():
            self._files[number].write(records[buckets == number].tobytes())

    def sorted(self) -> Iterator[tuple[NDArray[np.bytes_], NDArray[np.void]]]:
        """Yield keys and what is noted, sorted by key, equal keys as they came; once."""
        for file in self._files:
            file.seek(0)
            records = np.frombuffer(file.read(), self._record)
            file.close()
            records = records[np.argsort(records["key"], kind="stable")]
            yield records["key"], records["noted"]


class _Writer:
    """Data files that are named by their hash once they are whole, and the index of their rows."""

    def __init__(self, out: Path, folder: Path, file_bytes: int) -> None:
        self._out, self._limit = out, file_bytes
        self._index, self._num_rows = _Index(folder / "places", PLACE), 0
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
        self._index.add(part.keys, places)
        self._num_rows += len(places)
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
        number = {name: place for place, name in enumerate(sorted(set(self._names)))}
        renumbered = np.array([number[name] for name in self._names])
        with (
            (self._out / "keys.npy").open("wb") as one,
            (self._out / "places.npy").open("wb") as two,
        ):
            _begin_array(one, np.dtype(f"S{KEY_BYTES}"), self._num_rows)
            _begin_array(two, PLACE, self._num_rows)
            for keys, places in self._index.sorted():
                places["file"] = renumbered[places["file"]]
                one.write(keys.tobytes())
                two.write(places.tobytes())


def _begin_array(file: BinaryIO, kind: np.dtype[Any], length: int) -> None:
    """Write what comes before the values of a vector in a file that `numpy.load` reads."""
    described = {
        "descr": np.lib.format.dtype_to_descr(kind),
        "fortran_order": False,
        "shape": (length,),
    }
    np.lib.format.write_array_header_1_0(file, described)
