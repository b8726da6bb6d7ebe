"""Answers that a student gave to one prompt stand in one line behind it: the prompt is read once.

Each answer goes on from the prompt's last token and sees the prompt and itself, by its positions
and a mask; gradients are those of the rows one by one. Rows that nobody sampled stand alone, as
does every answer of a step that asks each prompt once.

Dimensions: B lines, T tokens, N answer tokens, D width.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from potstill.tokens import examples
from potstill.tokens.examples import Example


@dataclass(frozen=True)
class Batch:
    """Lines as a model reads them, padded on the right, and where the answers of their rows stand.

    Attributes:
        ids_BT: token ids, padded with 0.
        before_N: place in [B * T] of what predicts each answer token, in the rows' order.
        answers_N: those tokens.
        position_BT: of each token in its own row; None: they are counted.
        mask_B1TT: True where a token (second last) sees another (last); None: all before it.
    """

    ids_BT: torch.Tensor
    before_N: torch.Tensor
    answers_N: torch.Tensor
    position_BT: torch.Tensor | None = None
    mask_B1TT: torch.Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """Return it on a device."""
        there = {
            name: tensor.to(device) for name, tensor in vars(self).items() if tensor is not None
        }
        return Batch(**there)

    @property
    def inputs(self) -> dict[str, Any]:
        """What transformers' models are called with."""
        given = {"input_ids": self.ids_BT, "use_cache": False}
        if self.mask_B1TT is not None:
            given |= {"attention_mask": self.mask_B1TT, "position_ids": self.position_BT}
        return given

    def predicting(self, hidden_BTD: torch.Tensor) -> torch.Tensor:
        """Return the hidden states [N, D] of the positions that predict the answer tokens."""
        return hidden_BTD.flatten(0, 1)[self.before_N]


def lines(rows: Sequence[Example], tokens: int | None = None) -> list[list[Example]]:
    """Return rows in lines, in the order of their first ones.

    A line that would have more than `tokens` goes on in another, behind the same prompt.
    """
    found: list[list[Example]] = []
    for numbers in _numbers(rows):
        line: list[Example] = []
        for row in (rows[number] for number in numbers):
            if line and tokens is not None and length([*line, row]) > tokens:
                found.append(line)
                line = []
            line.append(row)
        found.append(line)
    return found


def _numbers(rows: Sequence[Example]) -> list[list[int]]:
    """Return the numbers of the rows that go on from one prompt, and of each other row alone."""
    found: dict[tuple[int, ...], list[int]] = {}
    for number, row in enumerate(rows):
        alone = (-1 - number,)  # no id is below 0
        found.setdefault(_prompt(row) if row.log_probs else alone, []).append(number)
    return list(found.values())


def length(line: Sequence[Example], size: Callable[[Example], int] = examples.length) -> int:
    """Return the tokens of a line; `size` says how many a row has that stands alone."""
    if len(line) == 1:
        return size(line[0])
    prompt = len(_prompt(line[0]))
    return prompt + sum(len(row.ids) - prompt for row in line)


def passes(
    rows: Sequence[Example], tokens: int, size: Callable[[Example], int] = examples.length
) -> list[list[Example]]:
    """Deal lines, longest first, into groups that hold at most so many tokens, padding counted.

    A row that alone is longer is a group of its own. For `size` see `length`.
    """
    groups: list[list[list[Example]]] = []
    for line in sorted(lines(rows, tokens), key=lambda line: -length(line, size)):
        if groups and (len(groups[-1]) + 1) * length(groups[-1][0], size) <= tokens:
            groups[-1].append(line)
        else:
            groups.append([line])
    return [[row for line in group for row in line] for group in groups]


def num_tokens(rows: Sequence[Example]) -> int:
    """Return the tokens of the batch that rows make, padding counted."""
    found = lines(rows)
    return len(found) * max(map(length, found))


def collate(rows: Sequence[Example]) -> Batch:
    """Return rows as one batch; what it says of answers is in the rows' order."""
    found = _numbers(rows)
    longest = max(map(length, lines(rows)))
    ids_BT = torch.zeros(len(found), longest, dtype=torch.int64)
    position_BT = torch.arange(longest).repeat(len(found), 1)
    part_BT = torch.full_like(ids_BT, -1)  # of padding; 0 of a prompt, 1 and more of rows
    before: dict[int, list[int]] = {}
    for index, line in enumerate(found):
        shared = _prompt(rows[line[0]]) if len(line) > 1 else ()
        prompt = begin = len(shared)
        ids_BT[index, :prompt] = torch.tensor(shared)
        part_BT[index, :prompt] = 0
        for number in line:
            ids = rows[number].ids
            end = begin + len(ids) - prompt
            ids_BT[index, begin:end] = torch.tensor(ids[prompt:])
            position_BT[index, begin:end] = torch.arange(prompt, len(ids))
            part_BT[index, begin:end] = 1 + number
            before[number] = [
                index * longest + (at if at < prompt else at - prompt + begin)
                for at in (at - 1 for at in _answered(rows[number]))
            ]
            begin = end
    places = [place for number in range(len(rows)) for place in before[number]]
    before_N = torch.tensor(places, dtype=torch.int64)
    answers = [row.ids[at] for row in rows for at in _answered(row)]
    answers_N = torch.tensor(answers, dtype=torch.int64)
    if len(found) == len(rows):
        return Batch(ids_BT, before_N, answers_N)
    same_BTT = part_BT[:, :, None] == part_BT[:, None, :]
    seen_BTT = torch.ones(longest, longest).tril().bool() & (same_BTT | (part_BT == 0)[:, None, :])
    return Batch(ids_BT, before_N, answers_N, position_BT, seen_BTT[:, None])


def _answered(row: Example) -> Iterator[int]:
    """Yield the places of a row's answer tokens."""
    return (at for first, last, _ in row.spans for at in range(first, last))


def _prompt(row: Example) -> tuple[int, ...]:
    """Return the ids before a row's first answer token."""
    return row.ids[: row.spans[0][0]]
