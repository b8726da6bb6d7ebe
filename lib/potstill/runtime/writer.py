"""One answer in the making: every runtime brings logits, and all else happens here.

Dimensions: V vocabulary.
"""

import numpy as np

from potstill.runtime.constraint import Mask
from potstill.runtime.pieces import Pieces
from potstill.runtime.request import Answer, Chunk, Finish, Request, collect
from potstill.runtime.sampler import Sampler, logprobs
from potstill.runtime.stops import Stops


class Writer:
    """Chooses ids, turns them into text and knows when the answer ends.

    Args:
        request: what is wanted.
        room: ids that the context holds behind the prompt.
        stop_ids: ids that end an answer unseen.
        pieces: the bytes of ids.
        mask: what the request's constraint allows, if it has one.

    Attributes:
        ids: those chosen so far.
        chunks: what was made so far; the last one says why the answer ended.
    """

    def __init__(
        self,
        request: Request,
        *,
        room: int,
        stop_ids: frozenset[int],
        pieces: Pieces,
        mask: Mask | None = None,
    ) -> None:
        self.request = request
        self.ids = list[int]()
        self.chunks = list[Chunk]()
        self._limit = min(request.max_tokens, room)
        self._full: Finish = "context" if room < request.max_tokens else "length"
        self._stop_ids, self._pieces, self._mask = stop_ids, pieces, mask
        self._sampler = Sampler(request.sampling, request.prompt, request.sample)
        self._stops = Stops(request.stops)
        self._text = ""
        self._begun = False
        if self._limit == 0:
            self._end(None, "", self._full)

    @property
    def ended(self) -> bool:
        """Whether no id may follow."""
        return bool(self.chunks) and self.chunks[-1].finish is not None

    @property
    def position(self) -> int:
        """Where the last id stands in its sequence."""
        return len(self.request.prompt) + len(self.ids) - 1

    def take(self, logits_V: np.ndarray) -> Chunk:
        """Choose the next id and return what it adds; may not be called when it `ended`."""
        allowed_V = logits_V if self._mask is None else self._mask.apply(logits_V)
        token = self._sampler.choose(allowed_V, len(self.ids))
        if token in self._stop_ids:
            return self._end(None, "", "stop_id")
        if self._mask is not None:
            self._mask.accept(token)
        self.ids.append(token)
        logprob, top = None, dict[int, float]()
        if self.request.logprobs is not None:
            logprob, top = logprobs(logits_V, token, self.request.logprobs)
        text = self._stops.add(self._bytes(token))
        self._text += text
        until = self.request.until
        if self._stops.found or (text and until is not None and until(self._text)):
            return self._end(token, text, "stop_text", logprob, top)
        if len(self.ids) == self._limit:
            return self._end(token, text, self._full, logprob, top)
        self.chunks.append(Chunk(token, text, logprob, top))
        return self.chunks[-1]

    def answer(self) -> Answer:
        """Return the whole answer, which must have ended."""
        return collect(self.chunks)

    def _bytes(self, token: int) -> bytes:
        data = self._pieces.of(token)
        if not self._begun and self._pieces.drops_space:
            data = data.removeprefix(b" ")
        self._begun = self._begun or bool(data)
        return data

    def _end(
        self,
        token: int | None,
        text: str,
        finish: Finish,
        logprob: float | None = None,
        top: dict[int, float] | None = None,
    ) -> Chunk:
        text += self._stops.end()
        self.chunks.append(Chunk(token, text, logprob, top or {}, finish))
        return self.chunks[-1]
