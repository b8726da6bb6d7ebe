"""Ask the teachers to solve training tasks and keep their answers as they are.

Reads   teacher     checkpoint (asked here where params name no other model and no endpoint)
        models      folder of the checkpoints that params may name
        prompts     folder with train.jsonl (task rows)
        rounds      folder with files of `potstill round`
Writes  out         JSONL: task id, number of the sample, text, why it ended, tokens, who answered
        metrics     answers, tokens, cost, refused, share that hit the length limit
"""

from pathlib import Path
from typing import Annotated, Literal

from potstill import files, stage
from potstill.runtime import Samples
from potstill.sampling import draw, sampling, teachers
from potstill.sampling.kept import Kept
from potstill.sampling.teachers import Teacher
from pydantic import Field


class Params(Samples):
    """Settings of `sample_teacher`."""

    teachers: Annotated[list[Teacher], Field(min_length=1)]  # who answers what
    backend: Literal["llama_cpp", "transformers"]  # on this machine; the latter takes a GPU
    round: str | None  # file of `potstill round`: what the student fails at is asked more often
    max_rows: Annotated[int, Field(ge=1)]  # tasks, spread over the families
    max_tokens: Annotated[int, Field(ge=1)]
    max_length_share: Annotated[float, Field(ge=0, le=1)]  # answers that the limit may cut
    batch_rows: Annotated[int, Field(ge=1)]  # answers at a time, of transformers
    threads: int
    seed: int


def main(
    params: Params, *, teacher: Path, models: Path, prompts: Path, rounds: Path, out: Path
) -> dict[str, float]:
    """Sample answers; those that were asked for before are not asked for again."""
    read = files.read_jsonl(prompts / "train.jsonl", ["id", "task", "language", "level"])
    tasks = {row["id"]: row for row in read if any(one.answers(row) for one in params.teachers)}
    which = params.model_dump(include={"max_rows", "samples", "seed"})
    weights = draw.read(rounds / params.round) if params.round else {}
    asked = sampling.prompts_of(list(tasks.values()), weights, **which)
    shares = teachers.divide(asked, tasks, params.teachers, params.seed)
    how = params.model_dump(include={"max_tokens", "temperature", "seed"})
    local = params.model_dump(include={"backend", "batch_rows", "threads"})
    kept, rows, cost = Kept(stage.WORK / "answers"), list[sampling.Row](), 0.0
    for one, share in zip(params.teachers, shares, strict=True):
        if share:
            checkpoint = models / one.model if one.model else teacher
            made = sampling.sample(share, teachers.backend(one, checkpoint, local, how), kept)
            rows += [{**row, "teacher": one.name(teacher.name)} for row in made]
            cost += one.cost(made)
    files.write_jsonl(out, rows)
    return sampling.summary(rows, len(asked), params.max_length_share, cost)


if __name__ == "__main__":
    stage.run(main, Params)
