"""Chat rows become token rows, and token rows become the same batches on every run.

Rows are padded on the right: under a causal mask nothing real ever sees padding, so no packing is
needed and no row can leak into another.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from potstill import files
from potstill.errors import InputError
from potstill.models.chat import ChatTokenizer
from potstill.tokens import spans
from potstill.tokens.spans import Span


@dataclass(frozen=True)
class Example:
    """Token ids of one row; the loss is taken on its spans."""

    ids: tuple[int, ...]
    spans: tuple[Span, ...]  # first id, one past the last, weight; in order, apart
    group: str  # rows of one group are not independent: intervals are made over groups

    @property
    def key(self) -> str:
        """Name of this row in the logit store: a hash of what the teacher read and answers."""
        places = ",".join(f"{start}-{end}" for start, end in self._places())
        text = f"{places}:{','.join(map(str, self.ids))}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def _places(self) -> list[tuple[int, int]]:
        """Return the spans without weights, neighbours joined."""
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


def load(
    path: Path, tokenizer: ChatTokenizer, max_length: int
) -> tuple[list[Example], dict[str, int]]:
    """Return (the examples of a dataset file in its order, how many were rejected by reason).

    Reasons are `too_long` and those of `spans.tokenise`.

    Raises:
        InputError: no row is left.
    """
    found: list[Example] = []
    rejected: Counter[str] = Counter()
    for row in files.read_jsonl(path, ["messages", "group"]):
        try:
            ids, places = spans.tokenise(tokenizer, row)
        except spans.RejectedError as error:
            rejected[str(error)] += 1
            continue
        if len(ids) > max_length:
            rejected["too_long"] += 1
        else:
            found.append(Example(tuple(ids), tuple(places), row["group"]))
    if not found:
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(rejected.items()))
        raise InputError(
            f"{path}: no row is left for max_length {max_length} ({counts or 'no rows'}): raise it "
            "or add rows"
        )
    return found, dict(sorted(rejected.items()))


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
        for start, end, _ in row.spans:
            answer_BT[index, start:end] = True
    return ids_BT, answer_BT


def weights(rows: Iterable[Example]) -> torch.Tensor | None:
    """Return the weight of each answer token [N] in the rows' order; None where all are 1."""
    parts = [(end - start, weight) for row in rows for start, end, weight in row.spans]
    if all(weight == 1 for _, weight in parts):
        return None
    counts = torch.tensor([count for count, _ in parts])
    return torch.tensor([weight for _, weight in parts]).repeat_interleave(counts)


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
