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
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from potstill import files
from potstill.errors import InputError
from potstill.logits.codecs import CODECS, Codec, DamagedError, Signal

KEY_BYTES = 16
PLACE = np.dtype([("offset", "<u8"), ("file", "<u4"), ("bytes", "<u4"), ("tokens", "<u4")])
_AGAIN = "run `dvc repro cache_logits`, or `dvc pull`"


@dataclass(frozen=True)
class Header:
    """What the distributions are, all at temperature 1; training compares it with what it needs.

    Attributes:
        vocab_size: ids that the teacher's logits were cut to before they were normalised: those of
            its tokenizer. A head may have more rows, which are padding.
        codec: one of CODECS.
        version: of the codec's bytes.
        k: ids kept of a token, or drawn.
        seed: of what is drawn.
    """

    teacher_sha256: str
    tokenizer_sha256: str
    template_sha256: str
    vocab_size: int
    codec: str
    version: int
    k: int
    seed: int

    def make_codec(self) -> Codec:
        """Return the codec that writes and reads the rows."""
        return CODECS[self.codec].make(vocab_size=self.vocab_size, k=self.k, seed=self.seed)


def packed_keys(keys: Iterable[str]) -> NDArray[np.bytes_]:
    """Return keys of 32 hex digits as 16 bytes each [R], which sort as the texts do."""
    return np.frombuffer(bytes.fromhex("".join(keys)), f"S{KEY_BYTES}")


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
        described = files.read_json(folder / "header.json")
        self.header = _read_header(folder, described)
        self._files: dict[str, dict[str, Any]] = described["files"]
        self._check_files()
        self._codec = self.header.make_codec()
        self._keys: NDArray[np.bytes_] = self._map_array("keys.npy")
        self._places: NDArray[np.void] = self._map_array("places.npy")
        names = sorted(name for name in self._files if name.startswith("data-"))
        self._data = [(folder / name).open("rb", buffering=0) for name in names]
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
        return InputError(f"{self.folder} is damaged: {what}; delete it and {_AGAIN}")

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
        for name, value in hashes.items():
            found = getattr(self.header, name)
            if found != value:
                raise InputError(
                    f"{self.folder}: the cached distributions have {name} {found}, the student "
                    f"{value}: give both the same vocabulary (`vocabulary: data` of a start) and "
                    "run cache_logits for this teacher"
                )

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

    def _find(self, keys: Iterable[str]) -> NDArray[np.void]:
        asked = packed_keys(keys)
        found = np.searchsorted(self._keys, asked).clip(max=len(self._keys) - 1)
        absent = np.flatnonzero(self._keys[found] != asked)
        if len(absent):
            key = asked[absent[0]].ljust(KEY_BYTES, b"\0").hex()
            raise InputError(
                f"{self.folder} has no row {key}: the data set changed after caching, or fewer "
                "rows were cached; raise cache_logits.max_rows or run cache_logits again"
            )
        return self._places[found]


def _read_header(folder: Path, described: Any) -> Header:  # noqa: ANN401 - whatever JSON holds
    names = {field.name for field in fields(Header)}
    known = isinstance(described, dict) and described.keys() == {"header", "files"}
    if not known or described["header"].keys() != names:
        raise InputError(
            f"{folder}/header.json is not that of a signal store of this version: {_AGAIN}"
        )
    header = Header(**described["header"])
    version = CODECS[header.codec].VERSION
    if header.version != version:
        raise InputError(
            f"{folder} was written by version {header.version} of the codec {header.codec}, "
            f"version {version} is read here: {_AGAIN}"
        )
    return header
