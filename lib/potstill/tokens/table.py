"""Tokenised rows in a file: written once, mapped by every stage that trains, prunes or caches.

A table is an Apache Arrow IPC file (https://arrow.apache.org/docs/format/Columnar.html), not
compressed, so that it is read where it lies. Its schema says what it was made with: format, hashes
of tokenizer and template, max_length. What a damaged or foreign file would make wrong is refused
when it is opened; ids that the vocabulary does not have when their row is made.
"""

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from potstill import files
from potstill.errors import InputError
from potstill.models.chat import ChatTokenizer
from potstill.tokens import columns, mapping, spans
from potstill.tokens.examples import Example, Rows

FORMAT = "potstill-tokens-3"
BATCH_IDS = 1 << 20  # a record batch has about so many ids: four megabytes of them
_REMADE = "delete it and run `dvc repro tokenise`"


def write(
    path: Path, rows: Iterable[Mapping[str, Any]], chat: ChatTokenizer, max_length: int
) -> dict[str, int]:
    """Write the table of some rows in their order and return how many were rejected by reason.

    Rows pass one by one; one record batch of them is held in memory. Equal rows give equal bytes.
    Reasons are `too_long` and those of `spans.tokenise`.

    Args:
        path: the file, which its caller publishes.
        rows: each with `messages`, `group`, the other texts of `columns.TEXTS` where it has them,
            and what else its template shows.
        chat: whose ids they become.
        max_length: ids of the longest row that is kept.

    Raises:
        spans.NothingFitsError: no row is left.
        InputError: one of those texts is none.
    """
    rejected: Counter[str] = Counter()
    header = {"format": FORMAT, **chat.hashes(), "max_length": str(max_length)}
    schema = columns.SCHEMA.with_metadata(header)
    num_batches = 0
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for packed in _pack(rows, chat, max_length, rejected):
            writer.write_batch(packed.batch(schema))
            num_batches += 1
    if not num_batches:
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(rejected.items()))
        raise spans.NothingFitsError(
            f"no row is left for max_length {max_length} ({counts or 'no rows'}): raise "
            "tokenise.max_length or add rows"
        )
    return dict(sorted(rejected.items()))


def _pack(
    rows: Iterable[Mapping[str, Any]],
    chat: ChatTokenizer,
    max_length: int,
    rejected: Counter[str],
) -> Iterator[columns.Packed]:
    """Yield the rows that are kept, a record batch at a time; count the others."""
    packed = columns.Packed()
    for row in rows:
        texts = {name: row.get(name, "") for name in columns.TEXTS}
        for name, value in texts.items():
            if not isinstance(value, str):
                raise InputError(f"the {name} of a row is {value!r}, not a text: correct the row")
        try:
            ids, places = spans.tokenise(chat, row)
        except spans.RejectedError as error:
            rejected[str(error)] += 1
            continue
        if len(ids) > max_length:
            rejected["too_long"] += 1
            continue
        packed.add(Example(tuple(ids), tuple(places), **texts), row)
        if packed.num_ids >= BATCH_IDS:
            yield packed
            packed = columns.Packed()
    if packed.num_ids:
        yield packed


class Table:
    """A mapped file: what it says of itself, and its rows by number.

    Attributes:
        header: format, tokenizer_sha256, template_sha256, max_length.
        lengths: number of ids of each row [R].
    """

    def __init__(self, path: Path) -> None:
        """Map a file and check its header, its arrays' borders and its spans.

        Raises:
            InputError: it is missing, empty, damaged, or no table of this format.
        """
        self.path = path
        if not path.is_file():
            raise InputError(f"{path} is missing: run `dvc repro tokenise` or `dvc pull`")
        try:
            self._file = mapping.MappedFile(path)
            reader = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(self._file.bytes)))
            self.header = _header(path, reader.schema)
            batches = (reader.get_batch(n) for n in range(reader.num_record_batches))
            self._views = self._file.each(columns.view, batches)
        except (pa.ArrowException, columns.DamagedError, OSError) as error:
            said = " ".join(str(error).split())
            raise InputError(f"{path} is damaged or no Arrow file ({said}): {_REMADE}") from None
        if not any(views.batch.num_rows for views in self._views):
            raise InputError(f"{path} has no rows: {_REMADE}")
        self._firsts = np.cumsum([0, *(views.batch.num_rows for views in self._views)]).tolist()
        self.lengths: NDArray[np.int32] = np.concatenate([v.lengths for v in self._views])
        mapping.give_back([self._file.bytes])

    def __len__(self) -> int:
        return int(self._firsts[-1])

    def keys(self, numbers: NDArray[np.int32]) -> NDArray[np.uint8]:
        """Return the bytes of the keys of some rows [R, 16]."""
        found = np.empty((len(numbers), 16), np.uint8)
        places = np.searchsorted(self._firsts, numbers, "right") - 1
        for place in np.unique(places).tolist():
            mine = places == place
            found[mine] = self._views[place].keys[numbers[mine] - self._firsts[place]]
            mapping.give_back([self._file.bytes])
        return found

    def folds(self) -> NDArray[np.int8]:
        """Return the fold of all rows [R]."""
        return np.concatenate(self._file.each(lambda v: v.folds, self._views))

    def one_of(self, name: str, wanted: Collection[str]) -> NDArray[np.bool_]:
        """Say of all rows [R] whether a text of theirs is one of some."""
        return np.concatenate(self._file.each(lambda v: v.one_of(name, wanted), self._views))

    def differs_from(self, chat: ChatTokenizer) -> str | None:
        """Return the first difference between the file's tokenizer and another; None if equal."""
        for name, wanted in chat.hashes().items():
            if self.header[name] != wanted:
                return f"{name} {self.header[name]}, {chat.folder} has {wanted}"
        return None

    def example(self, number: int, num_ids: int) -> Example:
        """Make one row, whose ids must be below `num_ids`."""
        views, row = self._find(number)
        example = views.example(row)
        if example.ids and not 0 <= min(example.ids) <= max(example.ids) < num_ids:
            raise InputError(f"{self.path}: row {number} has ids that are no token's: {_REMADE}")
        self._file.count_row()
        return example

    def sources(self) -> Iterator[dict[str, Any]]:
        """Yield what was tokenised: messages, the texts, and tools where there are some."""
        for number in range(len(self)):
            views, row = self._find(number)
            try:
                said = json.loads(views.text(row, "row"))
                texts = {name: views.text(row, name) for name in columns.TEXTS}
                yield {**said, "messages": said["messages"], **texts}
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"{self.path}: row {number}: no JSON ({error}): {_REMADE}"
                ) from None

    def summary(self) -> dict[str, int]:
        """Return rows, tokens, answer_tokens, and the length that a share of the rows has at most.

        The shares are length_p50, length_p90, length_p99 and length_max, in tokens.
        """
        shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
        found = np.quantile(self.lengths, list(shares.values()), method="higher").tolist()
        return {
            "rows": len(self),
            "tokens": int(self.lengths.sum(dtype=np.int64)),
            "answer_tokens": sum(views.num_answer_tokens for views in self._views),
            **{f"length_{name}": int(v) for name, v in zip(shares, found, strict=True)},
        }

    def _find(self, number: int) -> tuple[columns.Views, int]:
        place = bisect_right(self._firsts, number) - 1
        return self._views[place], number - self._firsts[place]


def _header(path: Path, schema: pa.Schema) -> dict[str, str]:
    pairs = (schema.metadata or {}).items()
    header = {key.decode(errors="replace"): value.decode(errors="replace") for key, value in pairs}
    if header.get("format") != FORMAT:
        raise InputError(
            f"{path} has format {header.get('format')!r}; {FORMAT!r} is read here: {_REMADE}"
        )
    wanted = {"tokenizer_sha256", "template_sha256", "max_length"}
    if not schema.equals(columns.SCHEMA) or wanted - set(header):
        raise InputError(f"{path} has other columns or a shorter header than {FORMAT}: {_REMADE}")
    if not header["max_length"].isdecimal():
        raise InputError(f"{path} has max_length {header['max_length']!r}, no number: {_REMADE}")
    return header


class MappedRows(Rows):
    """Rows of a table, all or some; an `Example` is made each time that it is asked for."""

    def __init__(self, table: Table, numbers: NDArray[np.int32], num_ids: int) -> None:
        self._table, self._numbers, self._num_ids = table, numbers, num_ids

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> "MappedRows": ...
    def __getitem__(self, index: int | slice) -> "Example | MappedRows":
        """Return one row, or the rows of a slice, which share the file."""
        if isinstance(index, slice):
            return MappedRows(self._table, self._numbers[index], self._num_ids)
        return self._table.example(int(self._numbers[index]), self._num_ids)

    @property
    def lengths(self) -> NDArray[np.int32]:
        """Number of ids of each row [R]."""
        return self._table.lengths[self._numbers]

    @property
    def keys(self) -> NDArray[np.uint8]:
        """Bytes of each row's key [R, 16]."""
        return self._table.keys(self._numbers)

    @property
    def folds(self) -> NDArray[np.int8]:
        """Fold of each row [R]."""
        return self._table.folds()[self._numbers]

    def having(self, wanted: Mapping[str, Collection[str]]) -> "MappedRows":
        """Return the rows whose texts are among those that are wanted, in their order."""
        chosen = np.ones(len(self), np.bool_)
        for name, values in wanted.items():
            chosen &= self._table.one_of(name, values)[self._numbers]
        return MappedRows(self._table, self._numbers[chosen], self._num_ids)

    def of_folds(self, wanted: Collection[int], most: int | None = None) -> "MappedRows":
        """Return the rows of some folds in their order; with `most` the first of each fold.

        Raises:
            InputError: there are none.
        """
        folds = self.folds
        chosen = np.zeros(len(self), np.bool_)
        for fold in set(wanted):
            chosen[np.flatnonzero(folds == fold)[:most]] = True
        if not chosen.any():
            raise InputError(
                f"{self._table.path}: no row is of the folds {sorted(wanted)}: name others"
            )
        return MappedRows(self._table, self._numbers[chosen], self._num_ids)


def open(path: Path, chat: ChatTokenizer) -> MappedRows:  # noqa: A001 - read as table.open
    """Return the rows of a table that this tokenizer made.

    Raises:
        InputError: the file is no table, or was made with another tokenizer, template or end token.
    """
    table = Table(path)
    if difference := table.differs_from(chat):
        raise InputError(
            f"{path} was made with {difference}: take a model that has the vocabulary of "
            "data/vocabulary, or run `dvc repro tokenise` if that has changed"
        )
    return MappedRows(table, np.arange(len(table), dtype=np.int32), chat.vocab_size)


def fit(path: Path, chat: ChatTokenizer, own: Path) -> tuple[MappedRows, dict[str, int]]:
    """Return a table's rows in a tokenizer's ids, and how many it rejected by reason.

    Where another tokenizer or template made the table, its rows are tokenised again, into `own`.

    Raises:
        InputError: the file is no table, or no row is left.
    """
    table, rejected = Table(path), dict[str, int]()
    if table.differs_from(chat):
        partial = files.partial_path(own)
        own.parent.mkdir(parents=True, exist_ok=True)
        rejected = write(partial, table.sources(), chat, int(table.header["max_length"]))
        files.publish(partial, own)
        table = Table(own)
    return MappedRows(table, np.arange(len(table), dtype=np.int32), chat.vocab_size), rejected
