"""Combine signals of one tokenizer: the weighted mean of their log-probabilities, row by row.

A row that some signals lack is taken from those that have it. Teachers that run (codec live) are
not averaged: each row has the one that has a weight for its language.

Reads   signals     folder of all signals
Writes  out         header.json with the signals that are combined, their hashes and weights
        metrics     signals; of stored ones rows, and how many rows are in more than one signal
"""

from pathlib import Path
from typing import Annotated

from potstill import stage
from potstill.params import Section
from pydantic import Field

Weights = Annotated[dict[str, Annotated[float, Field(ge=0)]], Field(min_length=1)]


class Params(Section):
    """One of `ensembles`."""

    weights: Weights  # of each signal that is combined
    by_language: dict[str, Weights] = Field(default_factory=dict)  # for the rows of a language


def main(params: Params, *, signals: Path, out: Path) -> dict[str, int]:
    """Write what is combined; the distributions stay where they are."""
    from potstill.logits import members

    return members.write(out, signals, params.weights, params.by_language)


if __name__ == "__main__":
    stage.run(main, Params)
