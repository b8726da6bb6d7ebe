"""Several teachers that can be asked about any text, each for the languages that it knows best.

Unlike stored signals they are not averaged: a row has one teacher, so a step costs what one costs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from potstill.errors import InputError
from potstill.logits.dense import Live, Several
from potstill.logits.topk import TopK
from potstill.tokens.examples import Example


class Asked(Protocol):
    """A teacher that runs, here or at an endpoint: a `source.Source` of one of these signals."""

    @property
    def signal(self) -> type[Live] | type[TopK]:
        """What `signal_of` returns."""
        ...

    @property
    def names(self) -> list[str]:
        """The signals that it is made of."""
        ...

    def check(self, hashes: Mapping[str, str]) -> None:
        """Refuse a student with another tokenizer or template."""
        ...

    def require(self, rows: Sequence[Example]) -> None:
        """Refuse rows that it may not score."""
        ...

    def signal_of(self, rows: Sequence[Example]) -> Live | TopK:
        """Return the distributions of rows, one after the other."""
        ...


@dataclass(frozen=True)
class Routed:
    """Teachers by language; it offers what `source.Source` asks.

    Attributes:
        teachers: all of one kind of signal.
        by_language: the number of the teacher of a language's rows.
        default: that of all others; None refuses them.
    """

    teachers: Sequence[Asked]
    by_language: Mapping[str, int]
    default: int | None

    @property
    def signal(self) -> type[TopK] | type[Several]:
        """What `signal_of` returns."""
        return TopK if self.teachers[0].signal is TopK else Several

    @property
    def names(self) -> list[str]:
        """The signals that this is made of."""
        return [name for teacher in self.teachers for name in teacher.names]

    def check(self, hashes: Mapping[str, str]) -> None:
        """Refuse a student with another tokenizer or template than a teacher's."""
        for teacher in self.teachers:
            teacher.check(hashes)

    def require(self, rows: Sequence[Example]) -> None:
        """Refuse rows of a language that has no teacher, and those that theirs may not score.

        Raises:
            InputError: names the first.
        """
        for number, mine in self._shares(rows).items():
            self.teachers[number].require([rows[place] for place in mine])

    def signal_of(self, rows: Sequence[Example]) -> TopK | Several:
        """Return the distributions of rows, one after the other, each by its teacher.

        Raises:
            InputError: see `require`, or a teacher does not answer.
        """
        shares = self._shares(rows)
        parts = [self.teachers[number].signal_of([rows[place] for place in mine])
                 for number, mine in shares.items()]  # fmt: skip
        sizes = torch.tensor([row.num_answer_tokens for row in rows])
        order = [place for mine in shares.values() for place in mine]
        owners = [number for number, mine in enumerate(shares.values()) for _ in mine]
        which, places = _back(sizes, order, owners)
        live = tuple(part for part in parts if isinstance(part, Live))
        if live:
            return Several(live, which, places)
        tops = [part for part in parts if isinstance(part, TopK)]
        width = min(top.ids_NK.shape[-1] for top in tops)
        tops = [top.narrowed(width) for top in tops]
        firsts = torch.tensor([0, *(len(top.log_tail_N) for top in tops)]).cumsum(0)
        chosen = firsts[which] + places
        return TopK(
            torch.cat([top.ids_NK for top in tops])[chosen],
            torch.cat([top.log_probs_NK for top in tops])[chosen],
            torch.cat([top.log_tail_N for top in tops])[chosen],
        )

    def _shares(self, rows: Sequence[Example]) -> dict[int, list[int]]:
        """Return the places of each teacher's rows."""
        shares: dict[int, list[int]] = {}
        for place, row in enumerate(rows):
            number = self.by_language.get(row.language, self.default)
            if number is None:
                raise InputError(
                    f"{', '.join(self.names)}: none of these teachers is for {row.language!r}: "
                    "give one of them no languages, or a weight there"
                )
            shares.setdefault(number, []).append(place)
        return shares


def _back(
    sizes_R: torch.Tensor, order: Sequence[int], owners: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return of each token, in the rows' own order, whose part it is in and where in it.

    Args:
        sizes_R: tokens of each row.
        order: the rows as the parts have them, one part after the other.
        owners: of each of those, the number of its part.
    """
    which: list[torch.Tensor] = [torch.empty(0)] * len(order)
    places: list[torch.Tensor] = [torch.empty(0)] * len(order)
    filled: dict[int, int] = {}
    for row, owner in zip(order, owners, strict=True):
        size, begin = int(sizes_R[row]), filled.get(owner, 0)
        which[row] = torch.full((size,), owner)
        places[row] = torch.arange(begin, begin + size)
        filled[owner] = begin + size
    return torch.cat(which), torch.cat(places)
