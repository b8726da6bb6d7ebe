"""Time an artefact in a fresh process: size, load, first token, tokens a second, peak memory.

Reads   artefact    exported artefact
Writes  metrics     see `potstill.evaluate.latency.measure`; the only figures that vary by run
"""

from pathlib import Path
from typing import Annotated

from potstill import stage
from potstill.evaluate import latency
from potstill.params import Section
from pydantic import Field


class Params(Section):
    """Settings of `measure_latency`."""

    prompt_tokens: Annotated[int, Field(ge=1)]
    tokens: Annotated[int, Field(ge=2)]  # generated after the first
    repeats: Annotated[int, Field(ge=1)]  # counted, after one warm-up
    threads: Annotated[int, Field(ge=1)]
    timeout_s: Annotated[float, Field(gt=0)]


def main(params: Params, *, artefact: Path) -> dict[str, float | str]:
    """Measure in a child process, so that nothing else is in its memory."""
    return latency.measure(artefact, **params.model_dump())


if __name__ == "__main__":
    stage.run(main, Params)
