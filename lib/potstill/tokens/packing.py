"""Rows as a model reads them: in one line, without padding, what they begin with alike once.

Rows share the system message, a prompt that was asked several times, the first tokens of answers.
In the order of their ids each row goes on from where the row before it began to differ, and sees
the tokens that it shares and itself, by its positions and by runs (`loading.attention`); states,
losses and gradients are those of the rows one by one.

Dimensions: T tokens of the line, N answer tokens, D width.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from potstill.loading.attention import Place, Run
from potstill.tokens import examples
from potstill.tokens.examples import Example

LEAST = 8  # tokens alike; what fewer would save costs more as another piece of what a row sees
MOST = 512  # tokens of a run: [n, K] numbers a head exist at a time
Read = Callable[[Example], Sequence[Example]]  # what is read for a row: itself, or a pair


@dataclass(frozen=True)
class Pack:
    """A line of rows, and where their answers stand in it.

    Attributes:
        ids_1T: token ids.
        position_1T: of each token in its own row.
        before_N: place of what predicts each answer token, in the rows' order.
        answers_N: those tokens.
        runs: who sees whom.
    """

    ids_1T: torch.Tensor
    position_1T: torch.Tensor
    before_N: torch.Tensor
    answers_N: torch.Tensor
    runs: tuple[Run, ...]

    @property
    def inputs(self) -> dict[str, Any]:
        """What transformers' models are called with; runs are what the mask says, for our own."""
        return {
            "input_ids": self.ids_1T,
            "position_ids": self.position_1T,
            "attention_mask": self._mask(),
            "runs": self.runs,
            "use_cache": False,
        }

    def _mask(self) -> torch.Tensor:
        """Return [1, 1, T, T]: True where a token (third) sees another (last)."""
        length = self.ids_1T.shape[1]
        seen_TT = torch.zeros(length, length, dtype=torch.bool)
        for run in self.runs:
            own = slice(run.begin, run.end)
            for begin, end in run.before:
                seen_TT[own, begin:end] = True
            seen_TT[own, own] = torch.ones(run.end - run.begin, run.end - run.begin).tril_().bool()
        return seen_TT[None, None].to(self.ids_1T.device)

    def predicting(self, hidden_1TD: torch.Tensor) -> torch.Tensor:
        """Return the hidden states [N, D] of the tokens that predict the answers."""
        return hidden_1TD[0, self.before_N]


def pack(rows: Sequence[Example], device: torch.device | None = None) -> Pack:
    """Return rows as one line on a device; what it says of answers is in the rows' order."""
    ids: list[int] = []
    positions: list[int] = []
    runs: list[Run] = []
    before: dict[int, list[int]] = {}
    last: tuple[int, ...] = ()  # the row before
    places: list[int] = []  # where its tokens stand
    for number in sorted(range(len(rows)), key=lambda number: rows[number].ids):
        row = rows[number].ids
        shared, begin = _shared(last, row), len(ids)
        ids += row[shared:]
        positions += range(shared, len(row))
        last, places = row, [*places[:shared], *range(begin, len(ids))]
        for first in range(begin, len(ids), MOST):
            seen = places[: shared + first - begin]
            runs.append(Run(first, min(first + MOST, len(ids)), tuple(_joined(seen))))
        before[number] = [places[at - 1] for at in _answered(rows[number])]

    def tensor(numbers: Iterable[int]) -> torch.Tensor:
        return torch.tensor(list(numbers), dtype=torch.int64, device=device)

    return Pack(
        tensor(ids)[None],
        tensor(positions)[None],
        tensor(place for number in range(len(rows)) for place in before[number]),
        tensor(row.ids[at] for row in rows for at in _answered(row)),
        tuple(runs),
    )


def num_tokens(rows: Sequence[Example]) -> int:
    """Return the tokens of the line that rows make."""
    ordered = sorted(row.ids for row in rows)
    return sum(
        len(ids) - _shared(last, ids) for last, ids in zip([(), *ordered], ordered, strict=False)
    )


def itself(row: Example) -> Sequence[Example]:
    """Return a row as what is read for it."""
    return [row]


def passes(rows: Sequence[Example], tokens: int, read: Read = itself) -> list[list[Example]]:
    """Deal rows, in the order of their ids, into groups whose lines have at most so many tokens.

    A row that alone is longer is a group of its own.

    Args:
        rows: in any order.
        tokens: of a line, at most.
        read: see `Read`.
    """
    groups: list[list[Example]] = []
    total = 0
    last: tuple[int, ...] = ()
    for row in sorted(rows, key=lambda row: row.ids):
        added, end = _added(last, read(row))
        if groups and total + added <= tokens:
            groups[-1].append(row)
            total += added
        else:
            groups.append([row])
            total, end = _added((), read(row))
        last = end
    return groups


def shares(rows: Sequence[Example], count: int, read: Read = itself) -> list[list[Example]]:
    """Return rows in shares of about equally many tokens; such as begin alike stay together."""
    found: list[list[Example]] = [[] for _ in range(count)]
    ordered = sorted(rows, key=lambda row: row.ids)
    sizes = [sum(len(one.ids) for one in read(row)) for row in ordered]
    done = 0
    for row, size in zip(ordered, sizes, strict=True):
        found[min(count - 1, (2 * done + size) * count // (2 * sum(sizes)))].append(row)
        done += size
    return found


def calibration(rows: Sequence[Example], count: int, seed: int, device: torch.device) -> list[Pack]:
    """Return `count` rows drawn by the seed, eight of similar lengths in a line."""
    return [pack(batch, device) for batch in examples.by_length(drawn(rows, count, seed), 8)]


def drawn(rows: Sequence[Example], count: int, seed: int) -> list[Example]:
    """Return `count` rows drawn by the seed."""
    order = examples.order(rows, 1, seed, 0)
    return [rows[number] for (number,) in order[:count]]


def _added(last: tuple[int, ...], rows: Sequence[Example]) -> tuple[int, tuple[int, ...]]:
    """Return the tokens that rows add behind one, and the ids of the last of them.

    Where the line has them in another order it has no more: in the order of ids most is shared.
    """
    added = 0
    for row in rows:
        added += len(row.ids) - _shared(last, row.ids)
        last = row.ids
    return added, last


def _shared(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Return how many ids two rows begin with alike; 0 where these are fewer than LEAST."""
    alike = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        alike += 1
    return alike if alike >= LEAST else 0


def _joined(places: Sequence[int]) -> Iterator[Place]:
    """Yield first and one past the last of places that follow one another."""
    begin = 0
    for at in range(1, len(places) + 1):
        if at == len(places) or places[at] != places[at - 1] + 1:
            yield places[begin], places[at - 1] + 1
            begin = at


def _answered(row: Example) -> Iterator[int]:
    """Yield the places of a row's answer tokens."""
    return (at for first, last, _ in row.spans for at in range(first, last))
