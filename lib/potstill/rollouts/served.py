"""A teacher at an endpoint that tells the top log-probabilities of a text."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence

import torch

from potstill.errors import InputError
from potstill.logits.topk import MIN_LOG_PROBABILITY, TopK
from potstill.rollouts import endpoint
from potstill.tokens.examples import Example

# Of probability, that of all ids which a server does not name: what float32 can tell from 0, since
# where a teacher is sure, what is left of 1 is rounding, and reverse KL takes its logarithm
LEAST_TAIL = 1e-6


class ServedTeacher:
    """What `source.Source` asks, of a model that somebody else runs.

    Args:
        server: where it is.
        top: most probable ids that are asked for; the others are one outcome.
        kept: of a student whose vocabulary was trimmed its ids' numbers at the server; None: the
            student has the server's own ids.
    """

    signal = TopK

    def __init__(self, server: endpoint.Endpoint, top: int, kept: Sequence[int] | None) -> None:
        self._client, self._top, self._kept = endpoint.Client(server), top, kept
        self._own = None if kept is None else {old: new for new, old in enumerate(kept)}

    @property
    def names(self) -> list[str]:
        """The signals that this is made of."""
        return [self._client.endpoint.model]

    def check(self, hashes: Mapping[str, str]) -> None:
        """Take any student: a server says nothing of its tokenizer."""

    def require(self, rows: Sequence[Example]) -> None:
        """Take any rows: nobody knows what a server's model was trained on."""

    def signal_of(self, rows: Sequence[Example]) -> TopK:
        """Return the top tokens at the answers of rows, one after the other.

        What a trimmed student cannot write has no part: the others are normalised without it, as
        logits are that are cut to the student's ids. A position that has fewer of its ids among the
        top than another is filled up with ids that share its tail evenly.

        Raises:
            InputError: the server fails, or gives no log-probabilities of a text.
        """
        texts = [self._theirs(row.ids) for row in rows]
        tops = self._client.tops(texts, self._top)
        places = [
            found[place - 1]
            for row, found in zip(rows, tops, strict=True)
            for start, end, _ in row.spans
            for place in range(start, end)
        ]
        ours = [self._ours(place) for place in places]
        if not all(kept for kept, _ in ours):
            raise InputError(
                f"{self._client.endpoint.url}: the likeliest ids of a position are none of the "
                "student's: is it a model of the same tokenizer? Raise top of `served`"
            )
        width = max((len(kept) for kept, _ in ours), default=0)
        made = [self._filled(kept, tail, width) for kept, tail in ours]
        shape = (len(made), width)
        return TopK(
            torch.tensor([[i for i, _ in kept] for kept, _ in made]).long().reshape(shape),
            torch.tensor([[v for _, v in kept] for kept, _ in made]).float().reshape(shape),
            torch.tensor([tail for _, tail in made]).float(),
        )

    def _theirs(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        return ids if self._kept is None else tuple(self._kept[i] for i in ids)

    def _ours(self, place: endpoint.Top) -> tuple[endpoint.Top, float]:
        """Return the student's ids with their log-probabilities, and that of all its others."""
        own = self._own
        kept = place if own is None else [(own[i], value) for i, value in place if i in own]
        tail = max(LEAST_TAIL, -math.expm1(min(0.0, _log_sum(value for _, value in place))))
        total = _log_sum([*(value for _, value in kept), math.log(tail)])
        return [(i, value - total) for i, value in kept], math.log(tail) - total

    def _filled(self, kept: endpoint.Top, tail: float, width: int) -> tuple[endpoint.Top, float]:
        """Return as many ids as wanted: those that are missing take even shares of the tail."""
        missing = width - len(kept)
        if not missing:
            return kept, tail
        assert self._kept is not None, "only a trimmed student lacks ids"
        others = len(self._kept) - len(kept)
        held = {i for i, _ in kept}
        free = (i for i in range(len(self._kept)) if i not in held)
        share = tail - math.log(others)
        left = tail + math.log1p(-missing / others) if others > missing else MIN_LOG_PROBABILITY
        return [*kept, *((i, share) for i in itertools.islice(free, missing))], left


def _log_sum(values: Iterable[float]) -> float:
    """Return log(sum of exp)."""
    found = list(values)
    top = max(found)
    return top + math.log(math.fsum(math.exp(value - top) for value in found))
