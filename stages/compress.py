"""Compress a checkpoint by one method: a student that is exported and measured as any.

Reads   checkpoint  Hugging Face folder
        tokens      folder of tables: training rows to calibrate on, validation and test to measure
Writes  out         checkpoint; what else a method leaves beside the weights is named in its module
        measures_out folder: what `distill` writes of a student that is trained for no step
        metrics     as of `distill`; method, and what that says
"""

from pathlib import Path

from potstill import stage
from potstill.compress.recipe import Compression as Params


def main(
    params: Params, *, checkpoint: Path, tokens: Path, out: Path, measures_out: Path, scratch: Path
) -> dict[str, float | str]:
    """Compress and measure."""
    from potstill.compress import work

    return work.compress(work.Work(params, checkpoint, tokens, out, scratch), measures_out)


if __name__ == "__main__":
    stage.run(main, Params)
