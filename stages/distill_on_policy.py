"""Train one student on its own answers, which a live teacher and the tests judge.

Reads   model       checkpoint that it goes on from
        signal      folder of a live signal, or of an ensemble of such
        curated     folder with accepted.jsonl, whose tasks are asked
        tokens      folder with validation.arrow and test.arrow, on which it is measured
        vocabulary  folder of the vocabulary that teacher and students share
Writes  out         checkpoint of the trained student
        measures_out folder: what `distill` writes, in history.csv with staleness (nats a token),
                    answer_length (tokens), cut_share, passed_share and accepted_share of a step's
                    answers; rollouts.jsonl: step, sample, group, language, format, prompt, text,
                    finish, passed, inside of each answer
        metrics     as of `distill`
"""

from pathlib import Path

from potstill import stage
from potstill.rollouts.recipe import OnPolicy as Params


def main(  # noqa: PLR0913 - five things that are read, three that are written
    params: Params,
    *,
    model: Path,
    signal: Path,
    curated: Path,
    tokens: Path,
    vocabulary: Path,
    out: Path,
    measures_out: Path,
    scratch: Path,
) -> dict[str, float | str]:
    """Train, measure on validation and test, and save."""
    from potstill.rollouts import student

    measured = student.distil(
        params,
        start=model,
        signal=signal,
        curated=curated,
        tokens=tokens,
        vocabulary=vocabulary,
        out=out,
        measures_out=measures_out,
        scratch=scratch,
    )
    return {"start": params.model, "seed": params.seed, **measured}


if __name__ == "__main__":
    stage.run(main, Params)
