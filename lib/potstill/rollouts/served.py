"""A teacher at an endpoint that tells the top log-probabilities of a text."""

from collections.abc import Mapping, Sequence

import torch

from potstill.errors import InputError
from potstill.logits.topk import MIN_LOG_PROBABILITY, TopK
from potstill.rollouts import endpoint
from potstill.tokens.examples import Example


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

        Where a position's top ids are partly none of the student's, all positions of the call keep
        as many as the poorest has; what is left out is part of the tail.

        Raises:
            InputError: the server fails, or gives no log-probabilities of a text.
        """
        texts = [self._theirs(row.ids) for row in rows]
        tops = self._client.tops(texts, self._top)
        places = [
            self._ours(found[place - 1])
            for row, found in zip(rows, tops, strict=True)
            for start, end, _ in row.spans
            for place in range(start, end)
        ]
        width = min(map(len, places), default=0)
        if places and not width:
            raise InputError(
                f"{self._client.endpoint.url}: the likeliest ids of a position are none of the "
                "student's: is it a model of the same tokenizer? Raise top of `served`"
            )
        chosen = [place[:width] for place in places]
        ids = torch.tensor([[i for i, _ in place] for place in chosen], dtype=torch.int64)
        log_probs = torch.tensor([[v for _, v in place] for place in chosen]).clamp(max=0)
        shape = (len(places), width)
        return TopK(ids.reshape(shape), log_probs.reshape(shape), _tail(log_probs.reshape(shape)))

    def _theirs(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        return ids if self._kept is None else tuple(self._kept[i] for i in ids)

    def _ours(self, place: endpoint.Top) -> endpoint.Top:
        if self._own is None:
            return place
        return [(self._own[i], value) for i, value in place if i in self._own]


def _tail(log_probs_NK: torch.Tensor) -> torch.Tensor:
    """Return log(1 - sum of the kept) [N] without cancellation where the sum is small."""
    kept_N = log_probs_NK.double().logsumexp(-1).clamp(max=0)
    tail_N = torch.where(
        kept_N > -0.6931471805599453, (-torch.expm1(kept_N)).log(), torch.log1p(-kept_N.exp())
    )
    return tail_N.clamp(min=MIN_LOG_PROBABILITY).float()
