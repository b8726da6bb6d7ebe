"""Rows as ids with the spans that the loss is taken on, and the same batches of them on every run.

What is drawn or ordered goes by lengths and keys alone, so that rows which lie in a file are made
batch by batch. How a model reads a batch is in `packing`.
"""

import hashlib
import math
import random
from abc import abstractmethod
from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

from potstill.errors import InputError
from potstill.models.chat import ChatTokenizer
from potstill.tokens.folds import fold_of
from potstill.tokens.spans import Span

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Example:
    """Token ids of one row; the loss is taken on its spans."""

    ids: tuple[int, ...]
    spans: tuple[Span, ...]  # first id, one past the last, weight; in order, apart
    group: str  # rows of one group are not independent: intervals are made over groups
    language: str = ""  # of its code, where the row says so
    origin: str = ""  # mined, reference, teacher, ...
    format: str = ""  # code, plan, reflect, ...
    teacher: str = ""  # whose answer it is, where a teacher gave it
    # Of an answer that the student itself gave: the log-probability of each of its ids but the one
    # that ends it, by the weights that gave it; and how much better it is than others to its prompt
    log_probs: tuple[float, ...] = ()
    advantage: float = 0.0

    @property
    def key(self) -> str:
        """Name of this row in the logit store: a hash of what the teacher read and answers."""
        places = ",".join(f"{start}-{end}" for start, end in self.places())
        text = f"{places}:{','.join(map(str, self.ids))}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def places(self) -> list[tuple[int, int]]:
        """Return first id and one past the last of what the loss is taken on, neighbours joined."""
        found: list[tuple[int, int]] = []
        for start, end, _ in self.spans:
            follows = found and found[-1][1] == start
            found.append((found.pop()[0] if follows else start, end))
        return found

    @property
    def num_answer_tokens(self) -> int:
        """Number of tokens that the loss is taken on."""
        return sum(end - start for start, end, _ in self.spans)

    @property
    def total_weight(self) -> float:
        """Sum of the weights of those tokens."""
        return sum((end - start) * weight for start, end, weight in self.spans)


class Rows(Sequence[Example]):
    """Examples that are made when they are asked for; their lengths and keys need none of them."""

    @property
    @abstractmethod
    def lengths(self) -> NDArray[np.int32]:
        """Number of ids of each row [R]."""

    @property
    @abstractmethod
    def keys(self) -> NDArray[np.uint8]:
        """Bytes of each row's key [R, 16]."""

    @abstractmethod
    def having(self, wanted: Mapping[str, Collection[str]]) -> "Rows":
        """Return the rows whose texts are among those that are wanted, in their order."""

    @property
    @abstractmethod
    def folds(self) -> NDArray[np.int8]:
        """Fold of each row [R]."""


def num_bytes(row: Example, chat: ChatTokenizer) -> int:
    """Return the bytes of UTF-8 of what the loss is taken on, without the tokens that end it.

    An answer of no text counts as one byte, so that its nats have a place in the ratio.
    """
    texts = []
    for start, end in row.places():
        ids = [index for index in row.ids[start:end] if index not in chat.stop_ids]
        texts.append(chat.tokenizer.decode(ids, skip_special_tokens=False))
    return max(1, sum(len(text.encode()) for text in texts))


def lengths(rows: Sequence[Example]) -> NDArray[np.int32]:
    """Return the number of ids of each row [R]."""
    if isinstance(rows, Rows):
        return rows.lengths
    return np.fromiter((len(row.ids) for row in rows), np.int32, len(rows))


def keys(rows: Sequence[Example]) -> NDArray[np.uint8]:
    """Return the bytes of each row's key [R, 16]; in their order they sort as the texts do."""
    if isinstance(rows, Rows):
        return rows.keys
    packed = bytes.fromhex("".join(row.key for row in rows))
    return np.frombuffer(packed, np.uint8).reshape(-1, 16)


def having(rows: Sequence[Example], wanted: Mapping[str, Collection[str]]) -> Sequence[Example]:
    """Return the rows whose texts (`origin`, `teacher`, ...) are among those wanted, in order.

    Raises:
        InputError: there are none.
    """
    if isinstance(rows, Rows):
        found: Sequence[Example] = rows.having(wanted)
    else:
        found = [row for row in rows if all(getattr(row, n) in some for n, some in wanted.items())]
    if not found:
        has = {name: sorted({getattr(row, name) for row in rows}) for name in wanted}
        raise InputError(f"none of {len(rows)} rows has {dict(wanted)}; they have {has}")
    return found


def folds(rows: Sequence[Example]) -> NDArray[np.int8]:
    """Return the fold of each row [R]."""
    if isinstance(rows, Rows):
        return rows.folds
    return np.fromiter((fold_of(row.group) for row in rows), np.int8, len(rows))


@dataclass(frozen=True, eq=False)
class Batches(Sequence[list[int]]):
    """The batches of an epoch as row numbers, made of them when asked: four bytes a row.

    Attributes:
        numbers: the rows, those of one batch together [R].
        firsts: where in `numbers` each batch begins.
        batch_rows: rows of a batch; the last in `numbers` may be shorter.
    """

    numbers: NDArray[np.int32]
    firsts: "array[int]"
    batch_rows: int

    def __len__(self) -> int:
        return len(self.firsts)

    @overload
    def __getitem__(self, index: int) -> list[int]: ...
    @overload
    def __getitem__(self, index: slice) -> list[list[int]]: ...
    def __getitem__(self, index: int | slice) -> list[int] | list[list[int]]:
        """Return one batch, or some."""
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        first = self.firsts[index]
        batch: list[int] = self.numbers[first : first + self.batch_rows].tolist()
        return batch


def order(rows: Sequence[Example], batch_rows: int, seed: int, epoch: int) -> Batches:
    """Return the batches of one epoch as row numbers: a function of its arguments alone.

    Rows are shuffled, sorted by length inside windows of 16 batches (little padding), and the
    batches are shuffled again. Being no iterator, it needs no state to resume. Only the rows'
    lengths are read.
    """
    source = random.Random(f"{seed}/{epoch}")
    shuffled = array("i", range(len(rows)))
    source.shuffle(shuffled)
    numbers, sizes = np.array(shuffled, np.int32), lengths(rows)
    window = 16 * batch_rows
    for begin in range(0, len(numbers), window):
        part = numbers[begin : begin + window]
        part[:] = part[np.argsort(sizes[part], kind="stable")]
    firsts = array("i", range(0, len(numbers), batch_rows))
    source.shuffle(firsts)
    return Batches(numbers, firsts, batch_rows)


def weights(rows: Iterable[Example]) -> "torch.Tensor | None":
    """Return the weight of each answer token [N] in the rows' order; None where all are 1."""
    import torch

    parts = [(end - start, weight) for row in rows for start, end, weight in row.spans]
    if all(weight == 1 for _, weight in parts):
        return None
    counts = torch.tensor([count for count, _ in parts])
    return torch.tensor([weight for _, weight in parts]).repeat_interleave(counts)


def spoken(rows: Iterable[Example]) -> "tuple[torch.Tensor, torch.Tensor] | None":
    """Return of each answer token [N] its log-probability when it was given, and its advantage.

    NaN stands for a log-probability that nobody knows; what stands behind those of a row was not
    sampled, and has no advantage. None: the student gave none of the rows.
    """
    import torch

    rows = list(rows)
    if not any(row.log_probs or row.advantage for row in rows):
        return None
    known = torch.full((sum(row.num_answer_tokens for row in rows),), math.nan)
    advantages, begin = torch.zeros_like(known), 0
    for row in rows:
        end = begin + row.num_answer_tokens
        given = slice(begin, begin + len(row.log_probs))
        known[given], advantages[given] = torch.tensor(row.log_probs), row.advantage
        begin = end
    return known, advantages


def by_length(rows: Sequence[Example], batch_rows: int) -> Iterator[list[Example]]:
    """Yield all rows in batches of similar length, longest first; equal lengths go by their keys.

    A batch is made when it is its turn.
    """
    halves = keys(rows).view(">u8")
    places = np.lexsort((halves[:, 1], halves[:, 0], -lengths(rows)))
    for begin in range(0, len(places), batch_rows):
        yield [rows[place] for place in places[begin : begin + batch_rows].tolist()]
