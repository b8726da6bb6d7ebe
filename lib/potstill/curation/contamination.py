"""Find training rows that repeat a benchmark: word n-grams over normalised text.

Source: the n-gram decontamination of datatrove and of the GPT-3 report (appendix C), with the
benchmark's prompts indexed as well as its solutions.
"""

import re
from collections.abc import Iterable, Mapping

from potstill.tasks import TASKS, UnavailableError, Where

_WORD = re.compile(r"\w+")


class NGramIndex:
    """The word n-grams of benchmark texts."""

    def __init__(self, texts: Iterable[str], n: int) -> None:
        self.n = n
        self._grams = {gram for text in texts for gram in self._split(text)}

    def _split(self, text: str) -> Iterable[tuple[str, ...]]:
        words = _WORD.findall(text.lower())
        return (tuple(words[i : i + self.n]) for i in range(len(words) - self.n + 1))

    def hit(self, text: str) -> str | None:
        """Return the first n-gram that the text shares with the benchmark, or None."""
        for gram in self._split(text):
            if gram in self._grams:
                return " ".join(gram)
        return None


def benchmark_texts(sources: Mapping[str, str]) -> list[str]:
    """Return the texts of all tasks whose data is here: prompts with their solutions.

    Args:
        sources: task -> the file that holds it, for those that come with no package.
    """
    texts: list[str] = []
    for task in TASKS.values():
        try:
            texts += task.texts(Where(sources))
        except UnavailableError:
            continue
    return texts
