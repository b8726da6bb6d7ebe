"""Ask the teacher to solve training tasks and keep its answers as they are.

Reads   teacher     checkpoint (asked here, unless params name an endpoint)
        prompts     folder with train.jsonl (task rows)
        rounds      folder with files of `potstill round`
Writes  out         JSONL: task id, number of the sample, answer text, why it ended, tokens
        metrics     answers, tokens, cost, refused, share that hit the length limit
"""

from pathlib import Path
from typing import Annotated, Literal

from potstill import files, stage
from potstill.runtime import Samples
from potstill.sampling import draw, sampling
from potstill.sampling.endpoint import Endpoint, Remote
from potstill.sampling.kept import Kept
from potstill.sampling.llama_cpp import LlamaCpp
from pydantic import Field


class Params(Samples):
    """Settings of `sample_teacher`."""

    endpoint: Endpoint | None  # null asks the teacher's checkpoint on this machine
    backend: Literal["llama_cpp", "transformers"]  # on this machine; the latter takes a GPU
    round: str | None  # file of `potstill round`: what the student fails at is asked more often
    max_rows: Annotated[int, Field(ge=1)]  # tasks, spread over the families
    max_tokens: Annotated[int, Field(ge=1)]
    max_length_share: Annotated[float, Field(ge=0, le=1)]  # answers that the limit may cut
    batch_rows: Annotated[int, Field(ge=1)]  # answers at a time, of transformers
    threads: int
    seed: int


def main(
    params: Params, *, teacher: Path, prompts: Path, rounds: Path, out: Path
) -> dict[str, float]:
    """Sample answers; those that were asked for before are not asked for again."""
    tasks = list(files.read_jsonl(prompts / "train.jsonl", ["id", "task", "language"]))
    weights = draw.read(rounds / params.round) if params.round else {}
    how = params.model_dump(include={"max_rows", "samples", "seed"})
    asked = sampling.prompts_of(tasks, weights, **how)
    rows = sampling.sample(asked, _backend(params, teacher), Kept(stage.WORK / "answers"))
    files.write_jsonl(out, rows)
    cost = params.endpoint.cost if params.endpoint else None
    return sampling.summary(rows, len(asked), params.max_length_share, cost)


def _backend(params: Params, teacher: Path) -> sampling.Backend:
    how = params.model_dump(include={"max_tokens", "temperature", "seed"})
    if params.endpoint:
        return Remote(params.endpoint, **how)
    if params.backend == "llama_cpp":
        return LlamaCpp(teacher, threads=params.threads, **how)
    from potstill.sampling.generate import Generate  # imports torch

    return Generate(teacher, batch_rows=params.batch_rows, threads=params.threads, **how)


if __name__ == "__main__":
    stage.run(main, Params)
