"""Several teachers: which of them answers which prompt, by weight, language and level."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from potstill import files
from potstill.params import Section
from potstill.sampling.batch import Batched
from potstill.sampling.endpoint import Endpoint, Remote
from potstill.sampling.llama_cpp import LlamaCpp
from potstill.sampling.sampling import Backend, Prompt

Language = Literal["python", "javascript"]
Level = Literal[0, 1, 2, 3, 4]  # of a kata; 0: of tasks of one's own


class Teacher(Section):
    """One that is asked: a checkpoint on this machine, or a model behind an endpoint."""

    model: str | None = None  # a name of `models`; null: the run's `teacher`
    endpoint: Endpoint | None = None  # instead
    weight: Annotated[float, Field(gt=0)] = 1.0  # share of the answers that others may give too
    languages: list[Language] = Field(default=["python", "javascript"])
    levels: list[Level] = Field(default=[0, 1, 2, 3, 4])

    @model_validator(mode="after")
    def _one(self) -> "Teacher":
        if self.model is not None and self.endpoint is not None:
            raise ValueError("a teacher is a model or an endpoint, not both")
        return self

    def name(self, default: str) -> str:
        """Return what its rows say of who wrote them."""
        return self.endpoint.model if self.endpoint else self.model or default

    def answers(self, task: Mapping[str, Any]) -> bool:
        """Say whether it may answer a task, a row with language and level."""
        return task["language"] in self.languages and task["level"] in self.levels

    def cost(self, rows: Sequence[Mapping[str, Any]]) -> float:
        """Return what its answers cost; nothing on this machine."""
        return sum(self.endpoint.cost(row["tokens"]) for row in rows) if self.endpoint else 0.0


def divide(
    prompts: Sequence[Prompt],
    tasks: Mapping[str, Mapping[str, Any]],
    teachers: Sequence[Teacher],
    seed: int,
) -> list[list[Prompt]]:
    """Return the prompts of each teacher, in their order.

    A prompt's teacher is drawn by the weights of those that may answer it, from its task, its
    sample and the seed: which other prompts there are changes nothing.

    Args:
        prompts: what is asked, each of a task that some teacher may answer.
        tasks: by the id of a prompt, rows with language and level.
        teachers: who is asked.
        seed: of the draws.
    """
    shares: list[list[Prompt]] = [[] for _ in teachers]
    for prompt in prompts:
        able = [n for n, one in enumerate(teachers) if one.answers(tasks[prompt.id])]
        sums = list(accumulate(teachers[n].weight for n in able))
        digest = files.row_id("teacher", str(seed), prompt.id, str(prompt.sample))
        drawn = int(digest[:12], 16) / 16**12 * sums[-1]
        shares[able[bisect_right(sums, drawn, hi=len(sums) - 1)]].append(prompt)
    return shares


def backend(
    one: Teacher, checkpoint: Path, local: Mapping[str, Any], how: Mapping[str, Any]
) -> Backend:
    """Return what asks a teacher.

    Args:
        one: who is asked.
        checkpoint: its model, unless it has an endpoint.
        local: how a checkpoint is asked: backend, batch_rows and threads.
        how: max_tokens, temperature and seed.
    """
    if one.endpoint:
        return (Batched if one.endpoint.batch else Remote)(one.endpoint, **how)
    if local["backend"] == "llama_cpp":
        return LlamaCpp(checkpoint, threads=local["threads"], **how)
    from potstill.sampling.generate import Generate  # imports torch

    rows, threads = local["batch_rows"], local["threads"]
    return Generate(checkpoint, batch_rows=rows, threads=threads, **how)
