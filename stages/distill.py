"""Train one student: from the teacher's cached distributions, from labels alone, or not at all.

Reads   student     checkpoint to start from
        dataset     folder with train.jsonl and heldout.jsonl
        logits      logit store of the trimmed teacher
Writes  out         checkpoint of the trained student
        history_out CSV: step, tokens, loss, ce, kl, lr, heldout_nll (nats a token)
        metrics     steps, tokens seen, held-out likelihood and perplexity with intervals
"""

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from potstill import stage
from potstill.params import Section


class Params(Section):
    """Settings of one student of `distill`."""

    alpha: Annotated[float, Field(ge=0, le=1)]  # weight of the labels; 1 does not read the logits
    temperature: Annotated[float, Field(gt=0)]  # T of the KL, as in cache_logits
    steps: Annotated[int, Field(ge=0)]  # 0 leaves the student as it starts: the control
    batch_rows: Annotated[int, Field(ge=1)]
    accumulate: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    warmup_steps: Annotated[int, Field(ge=1)]
    weight_decay: float
    clip_norm: float
    evaluate_every: int
    checkpoint_every: int
    max_length: int
    max_rows: int
    chunk_tokens: int  # tokens whose logits exist at a time
    precision: Literal["auto", "float32", "bfloat16"]
    threads: int
    seed: int


def main(
    params: Params,
    *,
    student: Path,
    dataset: Path,
    logits: Path,
    out: Path,
    history_out: Path,
    scratch: Path,
) -> dict[str, float]:
    """Train, measure on held-out rows and save."""
    from potstill.distill import student as library
    from potstill.distill.training import Schedule

    def chosen(cls: type) -> dict[str, Any]:
        return params.model_dump(include={field.name for field in fields(cls)})

    schedule = Schedule(**chosen(Schedule))
    return library.train(
        library.Recipe(schedule=schedule, **chosen(library.Recipe)),
        student=student,
        dataset=dataset,
        logits=logits,
        out=out,
        history_out=history_out,
        scratch=scratch,
    )


if __name__ == "__main__":
    stage.run(main, Params)
