"""A teacher's distributions on disk: self-describing, memory-mapped, refused when they differ.

A store is a folder of
    header.json     who made it (teacher, tokenizer, template, codec), and each file's size and hash
    keys.npy        the rows' keys [R], 16 bytes each, sorted
    places.npy      for each of them, in the same order: file, offset, bytes, tokens
    data-HASH.bin   the rows' bytes as the codec made them
and nothing else. A row's key is the hash of its token ids, so shuffling, batching and resuming
cannot misalign teacher and student: the fault that cached distillation by row number has had
elsewhere. Opening maps the index and reads nothing; a row's bytes are read from where they lie.
Were the data mapped too, each row would leave 64 KB of mapped pages behind, and a file that is cut
while it is read would end the process.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potstill import files
from potstill.errors import InputError
from potstill.logits.codecs import CODECS, Codec, DamagedError, Signal
from potstill.tokens import examples, mapping
from potstill.tokens.examples import Example

KEY_BYTES = 16
PLACE = np.dtype([("offset", "<u8"), ("file", "<u4"), ("bytes", "<u4"), ("tokens", "<u4")])
ASKED = 1 << 16  # rows whose keys are looked up at a time
AGAIN = "run `dvc repro cache_logits`, or `dvc pull`"
LIVE = "live"  # codec of a signal that stores nothing: see `logits.live`


@dataclass(frozen=True)
class Header:
    """What the distributions are, all at temperature 1; training compares it with what it needs.

    Attributes:
        vocab_size: ids that the teacher's logits were cut to before they were normalised: those of
            its tokenizer. A head may have more rows, which are padding.
        codec: one of CODECS, or LIVE.
        version: of the codec's bytes.
        k: ids kept of a token, or drawn.
        seed: of what is drawn.
        teacher: the teacher's folder.
        seen_folds: of rows that the teacher was trained on.
        allow_seen: whether it may score such rows all the same.
    """

    teacher_sha256: str
    tokenizer_sha256: str
    template_sha256: str
    vocab_size: int
    codec: str
    version: int
    k: int
    seed: int
    teacher: str = ""
    seen_folds: list[int] = field(default_factory=list)
    allow_seen: bool = False

    def make_codec(self) -> Codec:
        """Return the codec that writes and reads the rows."""
        return CODECS[self.codec].make(vocab_size=self.vocab_size, k=self.k, seed=self.seed)

    def refuse_seen(self, rows: Sequence[Example]) -> None:
        """Refuse rows that the teacher was adapted on.

        Raises:
            InputError: there are some, and they were not allowed.
        """
        if self.allow_seen or not self.seen_folds:
            return
        seen = int(np.isin(examples.folds(rows), self.seen_folds).sum())
        if seen:
            raise InputError(
                f"{self.teacher} was adapted on {seen} of {len(rows)} rows that it shall score "
                f"(folds {self.seen_folds}): take the rows of other folds, score these with a "
                "teacher of the other half (`ensembles`), or state allow_seen"
            )


def packed_keys(keys: Iterable[str]) -> NDArray[np.bytes_]:
    """Return keys of 32 hex digits as 16 bytes each [R], which sort as the texts do."""
    return np.frombuffer(bytes.fromhex("".join(keys)), f"S{KEY_BYTES}")


def keys_of(rows: Sequence[Example]) -> NDArray[np.bytes_]:
    """Return the keys of rows as `packed_keys` does."""
    packed = np.ascontiguousarray(examples.keys(rows))
    return packed.view(f"S{KEY_BYTES}")[:, 0]


def unpacked(key: bytes) -> str:
    """Return a packed key as 32 hex digits."""
    return key.ljust(KEY_BYTES, b"\0").hex()


def write_header(folder: Path, header: Header) -> None:
    """Write header.json, the last file of a store, over the files that are there."""
    written = {
        path.name: {"bytes": path.stat().st_size, "sha256": files.sha256_file(path)}
        for path in files.files_below(folder)
    }
    files.write_json(folder / "header.json", {"header": asdict(header), "files": written})


class LogitStore:
    """Read access to a store."""

    def __init__(self, folder: Path) -> None:
        """Map a store's files.

        Raises:
            InputError: it is no store, was made by another codec, or a file is missing, too many or
                not as long as when it was written.
        """
        self.folder = folder
        self.header = read_header(folder)
        self._files: dict[str, dict[str, Any]] = files.read_json(folder / "header.json")["files"]
        self._check_version()
        self._check_files()
        self._codec = self.header.make_codec()
        self._keys: NDArray[np.bytes_] = self._map_array("keys.npy")
        self._places: NDArray[np.void] = self._map_array("places.npy")
        names = sorted(name for name in self._files if name.startswith("data-"))
        self._data = [(folder / name).open("rb", buffering=0) for name in names]
        self._index = (self._keys.base, self._places.base)  # the mappings
        if len(self._keys) != len(self._places) or self._places.dtype != PLACE:
            raise self._damaged("keys.npy and places.npy do not belong together")

    def _map_array(self, name: str) -> NDArray[Any]:
        try:
            found: NDArray[Any] = np.load(self.folder / name, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError) as error:
            raise self._damaged(f"{name}: {error}") from None
        return found

    def _check_files(self) -> None:
        found = {p.relative_to(self.folder).as_posix(): p for p in files.files_below(self.folder)}
        found.pop("header.json")
        for name in sorted(found.keys() ^ self._files.keys()):
            wrong = "no file of a store" if name in found else "missing"
            raise self._damaged(f"{name} is {wrong}")
        for name, path in found.items():
            size, wanted = path.stat().st_size, self._files[name]["bytes"]
            if size != wanted:
                raise self._damaged(f"{name} has {size} bytes, {wanted} were written")

    def _damaged(self, what: str) -> InputError:
        return InputError(f"{self.folder} is damaged: {what}; delete it and {AGAIN}")

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def num_tokens(self) -> int:
        """Number of tokens of all rows."""
        return int(self._places["tokens"].sum(dtype=np.int64))

    def verify(self) -> None:
        """Compare every file with its SHA-256; reads all of them.

        Raises:
            InputError: a file is not as it was written.
        """
        for name, written in self._files.items():
            if files.sha256_file(self.folder / name) != written["sha256"]:
                raise self._damaged(f"{name} is not what was written")

    @property
    def signal(self) -> type[Signal]:
        """What `get` returns."""
        return CODECS[self.header.codec].SIGNAL

    def check(self, hashes: Mapping[str, str]) -> None:
        """Refuse to train from a store that was made for something else.

        Args:
            hashes: those of the student's `ChatTokenizer`.

        Raises:
            InputError: names the first difference.
        """
        check_hashes(self.folder, self.header, hashes)

    def get(self, keys: Iterable[str]) -> Signal:
        """Return the distributions of rows, one after the other, ready for the loss.

        Raises:
            InputError: a row is not in the store, or its bytes are not what was written.
        """
        places = self._find(keys)
        blobs = [
            np.frombuffer(os.pread(self._data[file].fileno(), size, offset), np.uint8)
            for offset, file, size, _ in places.tolist()
        ]
        try:
            return self._codec.decode(blobs, places["tokens"].tolist())
        except DamagedError:
            raise self._damaged("a row's bytes are not what its codec writes") from None

    def num_tokens_of(self, keys: Iterable[str]) -> NDArray[np.int64]:
        """Return the number of tokens of each row [R].

        Raises:
            InputError: a row is not in the store.
        """
        return self._find(keys)["tokens"].astype(np.int64)

    @property
    def names(self) -> list[str]:
        """The signals that this is made of."""
        return [self.folder.name]

    @property
    def keys(self) -> NDArray[np.bytes_]:
        """The rows' keys, sorted, as `packed_keys` has them."""
        return self._keys

    def require(self, rows: Sequence[Example]) -> None:
        """Refuse rows that are not in the store.

        Raises:
            InputError: names the first.
        """
        starts = range(0, len(rows), ASKED)
        held = [self.holds(keys_of(rows[start : start + ASKED])) for start in starts]
        self._refuse_absent(np.concatenate(held), lambda row: rows[row].key)

    def signal_of(self, rows: Sequence[Example]) -> Signal:
        """Return the distributions of rows; see `get`."""
        return self.get(row.key for row in rows)

    def _find(self, keys: Iterable[str]) -> NDArray[np.void]:
        return self._places_of(packed_keys(keys))

    def holds(self, asked: NDArray[np.bytes_]) -> NDArray[np.bool_]:
        """Say of packed keys whether their rows are in the store [R]."""
        held: NDArray[np.bool_] = self._keys[self._nearest(asked)] == asked
        mapping.give_back(self._index)
        return held

    def _nearest(self, asked: NDArray[np.bytes_]) -> NDArray[np.int64]:
        return np.searchsorted(self._keys, asked).clip(max=len(self._keys) - 1)

    def _places_of(self, asked: NDArray[np.bytes_]) -> NDArray[np.void]:
        self._refuse_absent(self.holds(asked), lambda row: unpacked(asked[row]))
        places: NDArray[np.void] = self._places[self._nearest(asked)]
        mapping.give_back(self._index)
        return places

    def _refuse_absent(self, held: NDArray[np.bool_], name: Callable[[int], str]) -> None:
        absent = np.flatnonzero(~held)
        if len(absent):
            raise InputError(
                f"{self.folder} has no row {name(int(absent[0]))} ({len(absent)} of "
                f"{len(held)} are missing): the data set changed after caching, fewer rows were "
                "cached, or the teacher was adapted on them; raise cache_logits.max_rows, train "
                "students on other folds or run cache_logits again"
            )

    def _check_version(self) -> None:
        version = CODECS[self.header.codec].VERSION
        if self.header.version != version:
            raise InputError(
                f"{self.folder} was written by version {self.header.version} of the codec "
                f"{self.header.codec}, version {version} is read here: {AGAIN}"
            )


def check_hashes(folder: Path, header: Header, hashes: Mapping[str, str]) -> None:
    """Compare a signal's tokenizer and template with a student's; see `LogitStore.check`."""
    for name, value in hashes.items():
        found = getattr(header, name)
        if found != value:
            raise InputError(
                f"{folder}: the cached distributions have {name} {found}, the student "
                f"{value}: give both the same vocabulary (`vocabulary: trimmed` of a start) "
                "and run cache_logits for this teacher"
            )


def read_header(folder: Path) -> Header:
    """Return what a signal is.

    Raises:
        InputError: header.json is missing, or not that of a signal of this version.
    """
    described = files.read_json(folder / "header.json")
    names = {field.name for field in fields(Header)}
    known = isinstance(described, dict) and described.keys() == {"header", "files"}
    if not known or described["header"].keys() != names:
        raise InputError(
            f"{folder}/header.json is not that of a signal store of this version: {AGAIN}"
        )
    return Header(**described["header"])
