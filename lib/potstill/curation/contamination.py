"""Find training rows that repeat a problem of an evaluation task: by their words, by their code.

Words: n-grams over normalised text. Source: the n-gram decontamination of datatrove and of the
GPT-3 report (appendix C), with the problems' solutions indexed as well as their prompts. Code: runs
of nodes of the normalised syntax tree, compared by their Jaccard index; other names, constants and
layout hide nothing. Source: the token runs of Schleimer et al. 2003 ("Winnowing"), all kept.
"""

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from potstill import files
from potstill.curation.shapes import Shape, shapes
from potstill.params import Section
from potstill.tasks import TASKS, Text, UnavailableError, Where
from potstill.tasks.where import FolderSources

NODES = 5  # of a run
MIN_NODES = 24  # of a solution: smaller trees are alike by chance
SUSPECT = 0.5  # Jaccard index from which on a likeness is named, though it may be by chance
_WORD = re.compile(r"\w+")
Problem = tuple[str, str]  # task and id
Run = tuple[str, ...]


class Settings(Section):
    """What rows are compared with, and how: the files of `benchmarks`, and `decontamination`."""

    sources: FolderSources  # what must not be trained on
    ngram_words: Annotated[int, Field(ge=4)]  # shared with a problem: contaminated
    code_jaccard: Annotated[float, Field(ge=SUSPECT, le=1)]  # of code with a solution: contaminated


@dataclass(frozen=True)
class Likeness:
    """That a row is like a problem.

    Attributes:
        task: whose problem.
        problem: its id.
        by: words or code.
        score: of words 1.0, for one run is shared whole; of code the Jaccard index of the runs.
        is_hit: whether it is a reason to drop the row.
        detail: the shared words.
    """

    task: str
    problem: str
    by: str
    score: float
    is_hit: bool
    detail: str = ""

    def __str__(self) -> str:
        """Return it as the detail of a rejection."""
        return f"{self.task} {self.problem}, {self.by} {self.detail or f'{self.score:.2f}'}"


def known(where: Where) -> dict[str, list[Text] | str]:
    """Return the texts of each registered task, or why they are not here."""
    found: dict[str, list[Text] | str] = {}
    for name, task in TASKS.items():
        try:
            found[name] = list(task.texts(where))
        except UnavailableError as error:
            found[name] = str(error)
    return found


def count(texts: Mapping[str, list[Text] | str]) -> int:
    """Return how many texts there are."""
    return sum(len(found) for found in texts.values() if isinstance(found, list))


class Benchmarks:
    """Problems that must not be trained on."""

    def __init__(
        self, texts: Mapping[str, list[Text] | str], ngram_words: int, code_jaccard: float
    ) -> None:
        """Index problems.

        Args:
            texts: of each task, or why there are none.
            ngram_words: a shared run of so many words is a hit.
            code_jaccard: a Jaccard index of code from which on it is a hit, above `SUSPECT`.
        """
        self._texts = texts
        self._words, self._jaccard = ngram_words, code_jaccard
        self._grams: dict[Run, Problem] = {}
        here = [
            (n, text) for n, found in texts.items() if isinstance(found, list) for text in found
        ]
        for name, text in here:
            for gram in _runs(_WORD.findall(text.text.lower()), ngram_words):
                self._grams.setdefault(gram, (name, text.id))
        self._codes: dict[str, _Codes] = {}
        for language in sorted({text.language for _, text in here}):
            mine = [(name, text) for name, text in here if text.language == language]
            found = shapes([text.code for _, text in mine], language)
            pairs = zip(((name, text.id) for name, text in mine), found, strict=True)
            self._codes[language] = _Codes((p, s) for p, s in pairs if len(s) >= MIN_NODES)

    def likenesses(self, rows: Sequence[Mapping[str, Any]]) -> list[list[Likeness]]:
        """Return for each row what it is like, what is a hit first.

        Args:
            rows: with text, code (may be empty) and language.
        """
        found: list[list[Likeness]] = [self._by_words(row["text"]) for row in rows]
        for language, codes in self._codes.items():
            places = [
                n for n, row in enumerate(rows) if row["code"] and row["language"] == language
            ]
            made = shapes([rows[place]["code"] for place in places], language)
            for place, shape in zip(places, made, strict=True):
                for problem, score in codes.like(shape):
                    found[place].append(Likeness(*problem, "code", score, score >= self._jaccard))
        return [sorted(each, key=lambda one: (-one.is_hit, -one.score)) for each in found]

    def hits(self, rows: Sequence[Mapping[str, Any]]) -> list[str | None]:
        """Return for each row, as for `likenesses`, what it repeats, or None."""
        found = self.likenesses(rows)
        return [str(each[0]) if each and each[0].is_hit else None for each in found]

    def compared(self) -> dict[str, dict[str, Any]]:
        """Return of each task with what it was compared: a part of a certificate."""
        found: dict[str, dict[str, Any]] = {}
        judged = Counter(name for codes in self._codes.values() for name, _ in codes.problems)
        for name, texts in self._texts.items():
            if isinstance(texts, str):
                found[name] = {"compared": False, "reason": texts}
            elif made_of := TASKS[name].MADE_OF:
                found[name] = {"compared": True, "made_of": list(made_of)}
            else:
                digest = files.row_id(*sorted(text.text for text in texts))
                numbers = {"num_texts": len(texts), "num_codes": judged[name]}
                found[name] = {"compared": True, **numbers, "texts_sha256": digest}
        return found

    def means(self) -> dict[str, dict[str, float]]:
        """Return how was compared, and from which score on a row is a hit or a suspect."""
        code = {"hit_jaccard": self._jaccard, "suspect_jaccard": SUSPECT}
        return {
            "words": {"hit_words": self._words},
            "code": {**code, "run_nodes": NODES, "min_nodes": MIN_NODES},
        }

    def _by_words(self, text: str) -> list[Likeness]:
        for gram in _runs(_WORD.findall(text.lower()), self._words):
            if gram in self._grams:
                return [Likeness(*self._grams[gram], "words", 1.0, True, " ".join(gram))]
        return []


class _Codes:
    """Runs of the solutions of one language.

    A pair that is alike by `SUSPECT` shares one of the rarest runs of both, so only those are
    looked up. Source: the prefix filter of Chaudhuri et al. 2006.
    """

    def __init__(self, solutions: Iterable[tuple[Problem, Shape]]) -> None:
        pairs = list(solutions)
        self.problems = [problem for problem, _ in pairs]
        self._sets = [frozenset(_runs(shape, NODES)) for _, shape in pairs]
        self._counts = Counter(itertools.chain.from_iterable(self._sets))
        self._places: defaultdict[Run, list[int]] = defaultdict(list)
        for place, runs in enumerate(self._sets):
            for run in self._rarest(runs):
                self._places[run].append(place)

    def like(self, shape: Shape) -> list[tuple[Problem, float]]:
        """Return the solutions that a program is like, with the Jaccard index."""
        runs = frozenset(_runs(shape, NODES))
        met = {place for run in self._rarest(runs) for place in self._places.get(run, ())}
        found = []
        for place in sorted(met):
            other = self._sets[place]
            score = len(runs & other) / len(runs | other)
            if score >= SUSPECT:
                found.append((self.problems[place], round(score, 4)))
        return found

    def _rarest(self, runs: frozenset[Run]) -> list[Run]:
        ordered = sorted(runs, key=lambda run: (self._counts[run], run))
        return ordered[: len(runs) - int(-(-len(runs) * SUSPECT // 1)) + 1]


def _runs(parts: Sequence[str], length: int) -> Iterable[Run]:
    return (tuple(parts[i : i + length]) for i in range(len(parts) - length + 1))
