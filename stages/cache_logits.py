"""Make a teacher's signal: its distributions over the training rows, or the order to run it live.

A teacher does not score rows that it was trained on: see potstill.tokens.folds.

Reads   teacher     checkpoint
        rows        table of the training rows
Writes  out         signal store (see potstill.logits.store), or the name of a live teacher
        metrics     rows, tokens, bytes a token; how much of a token's distribution was kept
"""

from pathlib import Path
from typing import Annotated, Literal

from potstill import stage
from potstill.models.chat import ChatTokenizer
from potstill.params import Section
from pydantic import Field


class Params(Section):
    """One of `signals`, with what all share from `cache_logits`."""

    teacher: str  # folder below models/: teacher_NAME, fetched/NAME, students/NAME
    # the most probable ids and the tail, drawn ids, or nothing: the teacher runs with the student
    codec: Literal["topk", "sampled", "live"]
    k: Annotated[int, Field(ge=1)]  # ids kept, or drawn, at each position
    min_kept_mass_mean: Annotated[float, Field(ge=0, le=1)]  # topk: below this the stage fails
    allow_seen: bool  # score rows that the teacher was trained on too
    max_rows: Annotated[int, Field(ge=1)]  # of each fold, in their order; live: all
    batch_rows: Annotated[int, Field(ge=1)]
    threads: int
    seed: int


def main(params: Params, *, teacher: Path, rows: Path, out: Path, scratch: Path) -> dict:
    """Cache, and stop where too little of the distributions was kept."""
    from potstill.loading import device, load
    from potstill.logits import caching, live
    from potstill.tokens import table

    given = params.model_dump(include={"codec", "k", "seed", "allow_seen"})
    header = caching.describe(teacher, **given)
    most = None if params.codec == "live" else params.max_rows
    taken = caching.scored(table.open(rows, ChatTokenizer(teacher)), header, most)
    if params.codec == "live":
        live.write(out, header)
        return {"num_rows": len(taken)}
    device.make_deterministic(params.seed, params.threads)
    place = device.pick_device()
    model = load.causal_lm(teacher, device.compute_dtype("auto", place), place)
    batching = caching.Batching(params.batch_rows)
    metrics = caching.cache(model, taken, out, header, batching, scratch=scratch)
    caching.require_kept_mass(metrics, params.min_kept_mass_mean, params.k)
    return metrics


if __name__ == "__main__":
    stage.run(main, Params)
