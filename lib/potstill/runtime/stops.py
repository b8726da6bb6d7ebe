"""Bytes of tokens become text as they come; a stop text ends it wherever tokens begin and end."""

import codecs
from collections.abc import Sequence


class Stops:
    """The text of one answer, cut before a stop.

    A stop counts only behind some text: where nothing but blank space stands before it, it is part
    of the answer. So a fence as stop ends an answer at its closing fence and not at the one it
    opens with, and a line end not at an answer's leading blank lines.

    Of two stops the one that ends first counts; of two that end together, the longer. The outcome
    does not depend on how the text is split. Text that may be the beginning of a stop is held back
    until more is known; an unfinished character too.

    Attributes:
        found: whether a stop was met; nothing may be added then.
    """

    def __init__(self, stops: Sequence[str] = ()) -> None:
        self._stops = tuple(stops)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._skipped = 0  # characters of `_held` that a leading stop took
        self._behind_text = False  # what went before `_held` is not all blank
        self.found = False

    def add(self, data: bytes) -> str:
        """Take the bytes of one token and return the text that is certain now, maybe none."""
        return self._add(self._decoder.decode(data))

    def end(self) -> str:
        """Return what was held back: the answer ended otherwise, and no stop will complete it."""
        if self.found:
            return ""
        text = self._add(self._decoder.decode(b"", final=True))
        held, self._held = self._held, ""
        return text + held

    def _add(self, text: str) -> str:
        self._held += text
        while hit := self._first():
            end, start = hit
            if self._behind_text or self._held[:start].strip():
                self.found = True
                certain, self._held = self._held[:start], ""
                return certain
            self._behind_text = bool(self._held[start:end].strip())
            self._skipped = end
        return self._give(len(self._held) - self._possible_beginning())

    def _first(self) -> tuple[int, int] | None:
        """Return (end, start) of the stop that ends first."""
        starts = [(self._held.find(stop, self._skipped), stop) for stop in self._stops]
        return min(((at + len(stop), at) for at, stop in starts if at >= 0), default=None)

    def _possible_beginning(self) -> int:
        """Return how many characters at the end may be the beginning of a stop."""
        rest = self._held[self._skipped :]
        longest = max(map(len, self._stops), default=1) - 1
        for length in range(min(longest, len(rest)), 0, -1):
            if any(stop.startswith(rest[-length:]) for stop in self._stops):
                return length
        return 0

    def _give(self, count: int) -> str:
        certain, self._held = self._held[:count], self._held[count:]
        self._skipped = max(0, self._skipped - count)
        self._behind_text = self._behind_text or bool(certain.strip())
        return certain
