"""Run the adapted teacher once over the training rows and keep its distributions.

Reads   teacher     adapted checkpoint
        rows        table of the training rows
Writes  out         signal store (see potstill.logits.store)
        metrics     rows, tokens, bytes a token; how much of a token's distribution was kept
"""

from pathlib import Path
from typing import Annotated, Literal

from potstill import stage
from potstill.models.chat import ChatTokenizer
from potstill.params import Section
from pydantic import Field


class Params(Section):
    """Settings of `cache_logits`."""

    codec: Literal["topk", "sampled"]  # the most probable ids and the tail, or drawn ids
    k: Annotated[int, Field(ge=1)]  # ids kept, or drawn, at each position
    min_kept_mass_mean: Annotated[float, Field(ge=0, le=1)]  # topk: below this the stage fails
    max_rows: int  # rows of the training set, in their order
    batch_rows: Annotated[int, Field(ge=1)]
    threads: int
    seed: int


def main(params: Params, *, teacher: Path, rows: Path, out: Path, scratch: Path) -> dict:
    """Cache, and stop where too little of the distributions was kept."""
    from potstill.loading import device, load
    from potstill.logits import caching
    from potstill.tokens import table

    device.make_deterministic(params.seed, params.threads)
    place = device.pick_device()
    taken = table.open(rows, ChatTokenizer(teacher))[: params.max_rows]
    metrics = caching.cache(
        load.causal_lm(teacher, device.compute_dtype("auto", place), place),
        taken,
        out,
        caching.describe(teacher, codec=params.codec, k=params.k, seed=params.seed),
        caching.Batching(params.batch_rows),
        scratch=scratch,
    )
    caching.require_kept_mass(metrics, params.min_kept_mass_mean, params.k)
    return metrics


if __name__ == "__main__":
    stage.run(main, Params)
