"""Run the adapted teacher once over the training rows and keep its top tokens with their tail.

Reads   teacher     adapted checkpoint
        rows        table of the training rows
Writes  out         logit store (header.json and shards)
        metrics     rows, tokens, bytes a token, kept mass
"""

import shutil
from pathlib import Path

from potstill import stage
from potstill.models.chat import ChatTokenizer
from potstill.params import Section


class Params(Section):
    """Settings of `cache_logits`."""

    k: int  # tokens kept at each position
    max_rows: int  # rows of the training set, in their order
    batch_rows: int
    threads: int
    seed: int


def main(params: Params, *, teacher: Path, rows: Path, out: Path, scratch: Path) -> dict:
    """Cache, and say how much of the probability was kept."""
    from potstill.loading import device, load
    from potstill.logits import caching, store
    from potstill.tokens import table

    device.make_deterministic(params.seed, params.threads)
    place = device.pick_device()
    taken = table.open(rows, ChatTokenizer(teacher))[: params.max_rows]
    model = load.trainable(teacher, place)
    metrics = caching.cache(
        model,
        taken,
        scratch,
        k=params.k,
        batch_rows=params.batch_rows,
        dtype=device.compute_dtype("auto", place),
    )
    described = store.describe(teacher, k=params.k)
    store.write_header(scratch, described)
    shutil.copytree(scratch, out)
    return {
        **metrics,
        "kept_mass_mean": caching.kept_mass(store.LogitStore(out), taken),
    }


if __name__ == "__main__":
    stage.run(main, Params)
