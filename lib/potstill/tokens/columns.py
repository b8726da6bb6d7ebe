"""The record batches of a table of tokenised rows: how rows are packed, and what is believed.

Columns: `key` (16 bytes; the row's name in a logit store), `ids`, and of its spans `starts`, `ends`
and `weights`; the texts of TEXTS; and `row`, the JSON of messages and tools, from which a model of
another family tokenises the same rows again. Nothing may be missing.
"""

import json
from array import array
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from potstill.tokens.examples import Example
from potstill.tokens.folds import fold_of

LISTS: dict[str, type[np.generic]] = {
    "ids": np.int32,
    "starts": np.int32,
    "ends": np.int32,
    "weights": np.float64,
}
# What a row says of itself: whose like it is, and what it can be chosen by; "" where it does not.
TEXTS = ("group", "language", "origin", "format", "teacher")
_TYPES = {
    "key": pa.binary(16),
    **{
        name: pa.list_(pa.field("item", pa.from_numpy_dtype(kind), nullable=False))
        for name, kind in LISTS.items()
    },
    **{name: pa.string() for name in TEXTS},
    "row": pa.string(),
}
SCHEMA = pa.schema([pa.field(name, kind, nullable=False) for name, kind in _TYPES.items()])


class DamagedError(Exception):
    """What a record batch cannot be; the text says where."""


class Packed:
    """Rows on their way into a record batch: packed arrays, no objects of Python a token."""

    def __init__(self) -> None:
        self._keys: list[bytes] = []
        self._texts: dict[str, list[str]] = {name: [] for name in TEXTS}
        self._rows: list[str] = []
        # name -> (offsets, values)
        self._lists = {
            name: (array("i", [0]), array("d" if name == "weights" else "i")) for name in LISTS
        }

    @property
    def num_ids(self) -> int:
        """Number of ids so far."""
        return len(self._lists["ids"][1])

    def add(self, example: Example, row: Mapping[str, Any]) -> None:
        """Take one row as ids and as the messages that they were made from."""
        self._keys.append(bytes.fromhex(example.key))
        for name, texts in self._texts.items():
            texts.append(getattr(example, name))
        # keys keep their order, which a template may show
        said = {name: row[name] for name in ("messages", "tools") if row.get(name) is not None}
        self._rows.append(json.dumps(said, ensure_ascii=False, separators=(",", ":")))
        columns = (example.ids, *(zip(*example.spans, strict=True) if example.spans else ((),) * 3))
        for (offsets, values), column in zip(self._lists.values(), columns, strict=True):
            values.extend(column)
            offsets.append(len(values))

    def batch(self, schema: pa.Schema) -> pa.RecordBatch:
        """Return the record batch of all rows."""
        columns = [pa.array(self._keys, _TYPES["key"])]
        for name, (offsets, values) in self._lists.items():
            parts = (pa.array(np.array(offsets, np.int32)), pa.array(np.array(values)))
            columns.append(pa.ListArray.from_arrays(*parts, type=_TYPES[name]))
        columns += [pa.array(texts, pa.string()) for texts in (*self._texts.values(), self._rows)]
        return pa.RecordBatch.from_arrays(columns, schema=schema)


@dataclass(frozen=True)
class Views:
    """A record batch whose arrays lie in its buffers and whose spans lie in their rows.

    Attributes:
        batch: the record batch.
        lists: of each list column the offsets [R + 1] and the values.
    """

    batch: pa.RecordBatch
    lists: dict[str, tuple[NDArray[np.int32], NDArray[Any]]]

    @property
    def lengths(self) -> NDArray[np.int32]:
        """Number of ids of each row [R]."""
        return np.diff(self.lists["ids"][0])

    @property
    def keys(self) -> NDArray[np.uint8]:
        """Bytes of each row's key [R, 16]."""
        column = self.batch.column("key")
        size = 16 * len(column)
        return np.frombuffer(column.buffers()[1], np.uint8, size, 16 * column.offset).reshape(
            -1, 16
        )

    @property
    def num_answer_tokens(self) -> int:
        """Number of tokens that a loss is taken on."""
        (offsets, ends), (_, starts) = self.lists["ends"], self.lists["starts"]
        used = slice(offsets[0], offsets[-1])
        return int((ends[used] - starts[used]).sum())

    def one_of(self, name: str, wanted: Collection[str]) -> NDArray[np.bool_]:
        """Say of each row [R] whether its text is one of some; each text is compared once."""
        found = self.batch.column(name).dictionary_encode()
        each = np.array([text in wanted for text in found.dictionary.to_pylist()], np.bool_)
        chosen: NDArray[np.bool_] = each[_numbers(found.indices, np.int32)]
        return chosen

    @property
    def folds(self) -> NDArray[np.int8]:
        """Fold of each row [R]; each group is hashed once."""
        found = self.batch.column("group").dictionary_encode()
        each = np.array([fold_of(group) for group in found.dictionary.to_pylist()], np.int8)
        folds: NDArray[np.int8] = each[_numbers(found.indices, np.int32)]
        return folds

    def cells(self, row: int, name: str) -> list[Any]:
        """Return one row's list."""
        offsets, values = self.lists[name]
        cells: list[Any] = values[offsets[row] : offsets[row + 1]].tolist()
        return cells

    def text(self, row: int, name: str) -> str:
        """Return one row's text of a column, or its JSON."""
        return str(self.batch.column(name)[row].as_py())

    def example(self, row: int) -> Example:
        """Make one row."""
        ids, starts, ends, weights = (self.cells(row, name) for name in LISTS)
        spans = tuple(zip(starts, ends, weights, strict=True))
        return Example(tuple(ids), spans, **{name: self.text(row, name) for name in TEXTS})  # type: ignore[arg-type] # the names are of texts


def view(batch: pa.RecordBatch) -> Views:
    """Return the views of a record batch; no ids and no JSON are read.

    Raises:
        pa.ArrowException: an array reaches beyond its buffer, or a text is none.
        DamagedError: a cell is missing, or a span lies outside its row.
    """
    batch.validate()
    for name in (*TEXTS, *LISTS):
        batch.column(name).validate(full=True)
    batch.column("row").view(pa.binary()).validate(full=True)  # as bytes: only its offsets are read
    nulls = [column.null_count for column in batch.columns]
    nulls += [batch.column(name).values.null_count for name in LISTS]
    if any(nulls):
        raise DamagedError("cells are missing")
    lists = {}
    for name, kind in LISTS.items():
        column = batch.column(name)
        lists[name] = (_numbers(column.offsets, np.int32), _numbers(column.values, kind))
    views = Views(batch, lists)
    _check_spans(views)
    return views


def _numbers(flat: pa.Array, kind: type[np.generic]) -> NDArray[Any]:
    """Return a view of an array without nulls.

    Arrow's own `to_numpy` imports pandas: 0.3 s in every process that opens a table.
    """
    size = np.dtype(kind).itemsize
    if not len(flat):
        return np.empty(0, kind)
    return np.frombuffer(flat.buffers()[1], kind, len(flat), flat.offset * size)


def _check_spans(views: Views) -> None:
    """Compare all spans with their rows' lengths: in order, apart, and none at the first id."""
    offsets, starts = views.lists["starts"]
    if any(not np.array_equal(offsets, views.lists[name][0]) for name in ("ends", "weights")):
        raise DamagedError("spans lack a part")
    ends = views.lists["ends"][1][offsets[0] : offsets[-1]]
    starts = starts[offsets[0] : offsets[-1]]
    rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    earliest = np.ones_like(starts)  # the first id is predicted by nothing
    if len(rows):
        earliest[1:] = np.where(rows[1:] == rows[:-1], ends[:-1], 1)
    if np.any((starts < earliest) | (ends <= starts) | (ends > views.lengths[rows])):
        raise DamagedError("spans lie outside their rows")
