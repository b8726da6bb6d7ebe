"""One problem of a task: what a model is asked, and what decides whether its answer is right."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from potstill import files, sandbox
from potstill.models.chat import Message


@dataclass(frozen=True)
class Text:
    """What no training row may repeat of a problem.

    Attributes:
        id: the problem's.
        text: what it asks, with a right answer.
        code: a right answer, as a program that parses; empty where none is known.
        language: of the code.
    """

    id: str
    text: str
    code: str
    language: str


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One problem.

    Attributes:
        task: name of its task.
        messages: what the model is asked.
        request: the problem alone, as its publication shows it, without how it is to be answered; a
            method that asks in several turns and a user's prompt make their messages of it.
        format: which of the agent's prompts it is: code, plan, reflect or decompose.
        tests: calls with expected values; or source: Python that defines check(candidate), for a
            problem in JavaScript asserts in JavaScript.
        family: problems of one family are alike; intervals are made over families.
        level: how hard it is, from 1; 0 where the task has no levels.
        reference: a right answer, code without a fence; empty where none is known.
        preamble: code that an answer may rely on (HumanEval's imports) and does not contain.
        inside_only: an answer outside the subset counts as wrong.
    """

    id: str
    task: str
    language: str
    messages: Sequence[Message]
    entry_point: str
    tests: list[dict[str, Any]] | str
    family: str
    reference: str
    request: str = ""
    format: str = "code"
    level: int = 0
    preamble: str = ""
    inside_only: bool = False

    def case(self, code: str, limits: sandbox.Limits) -> sandbox.Case:
        """Return what the sandbox shall find out about an answer's code."""
        return sandbox.Case(
            language=self.language,
            code=f"{self.preamble}\n{code}" if self.preamble else code,
            tests=self.tests,
            entry_point=self.entry_point,
            limits=limits,
            tests_language=self.language,
        )


def list_sha256(problems: Sequence[Problem]) -> str:
    """Return a hash of which problems a task has, in any order: equal means the same list."""
    return files.row_id(*sorted(problem.id for problem in problems))


def draw(problems: Sequence[Problem], count: int, seed: int) -> list[Problem]:
    """Return at most `count` problems drawn by the seed, the same for every artefact.

    A smaller count is a subset of a larger one, so that artefacts can be compared in pairs.
    """
    return sorted(problems, key=lambda item: files.row_id(str(seed), item.id))[:count]
