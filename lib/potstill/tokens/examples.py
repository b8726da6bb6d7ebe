"""Chat rows become token rows, and token rows become the same batches on every run.

Rows are padded on the right: under a causal mask nothing real ever sees padding, so no packing is
needed and no row can leak into another.
"""

import hashlib
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from potstill import files
from potstill.errors import InputError
from potstill.models.chat import ChatTokenizer


@dataclass(frozen=True)
class Example:
    """Token ids of one row; the loss is taken on ids[start:]."""

    ids: tuple[int, ...]
    start: int
    group: str  # rows of one group are not independent: intervals are made over groups

    @property
    def key(self) -> str:
        """Name of this row in the logit store: a hash of what the teacher read."""
        text = f"{self.start}:{','.join(map(str, self.ids))}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @property
    def num_answer_tokens(self) -> int:
        """Number of tokens that the loss is taken on."""
        return len(self.ids) - self.start


def load(path: Path, tokenizer: ChatTokenizer, max_length: int) -> tuple[list[Example], int]:
    """Return (the examples of a dataset file in its order, how many were too long).

    Raises:
        InputError: no row fits.
    """
    found, too_long = [], 0
    for row in files.read_jsonl(path, ["messages", "group"]):
        ids, start = tokenizer.example(row["messages"])
        if len(ids) > max_length:
            too_long += 1
        else:
            found.append(Example(tuple(ids), start, row["group"]))
    if not found:
        raise InputError(
            f"{path}: none of {too_long} rows fits max_length {max_length}: raise it or add rows"
        )
    return found, too_long


def order(examples: list[Example], batch_rows: int, seed: int, epoch: int) -> list[list[int]]:
    """Return the batches of one epoch as row numbers: a function of its arguments alone.

    Rows are shuffled, sorted by length inside windows of 16 batches (little padding), and the
    batches are shuffled again. Being no iterator, it needs no state to resume.
    """
    source = random.Random(f"{seed}/{epoch}")
    rows = list(range(len(examples)))
    source.shuffle(rows)
    window = 16 * batch_rows
    batches = []
    for begin in range(0, len(rows), window):
        part = sorted(rows[begin : begin + window], key=lambda row: len(examples[row].ids))
        batches += [part[i : i + batch_rows] for i in range(0, len(part), batch_rows)]
    source.shuffle(batches)
    return batches


def collate(rows: Iterable[Example]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids [B, T] padded with 0 on the right, and the bool mask [B, T] of answer tokens."""
    rows = list(rows)
    length = max(len(row.ids) for row in rows)
    ids_BT = torch.zeros(len(rows), length, dtype=torch.int64)
    answer_BT = torch.zeros(len(rows), length, dtype=torch.bool)
    for index, row in enumerate(rows):
        ids_BT[index, : len(row.ids)] = torch.tensor(row.ids)
        answer_BT[index, row.start : len(row.ids)] = True
    return ids_BT, answer_BT


def by_length(examples: list[Example], batch_rows: int) -> Iterator[list[Example]]:
    """Yield all examples in batches of similar length, longest first."""
    rows = sorted(examples, key=lambda row: (-len(row.ids), row.key))
    for begin in range(0, len(rows), batch_rows):
        yield rows[begin : begin + batch_rows]


def predicting(hidden_BTD: torch.Tensor, answer_BT: torch.Tensor) -> torch.Tensor:
    """Return the hidden states [N, D] of the positions that predict the answer tokens."""
    return hidden_BTD[:, :-1][answer_BT[:, 1:]]


def calibration(
    rows: list[Example], count: int, seed: int, device: torch.device
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return batches of ids and answer masks of `count` rows drawn by the seed."""
    drawn = [rows[row] for batch in order(rows, 1, seed, 0) for row in batch][:count]
    batches = [collate(batch) for batch in by_length(drawn, 8)]
    return [(ids_BT.to(device), answer_BT.to(device)) for ids_BT, answer_BT in batches]
