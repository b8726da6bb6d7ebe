"""Train one student: from a teacher's distributions, labels, pairs of answers, or not at all.

Reads   student     checkpoint to start from
        tokens      folder with train.arrow, validation.arrow and test.arrow, tokenised rows, and
                    pairs.arrow where the student learns from pairs
        signal      folder of a signal or an ensemble; for labels alone that of the tokens again
Writes  out         checkpoint of the trained student
        measures_out folder: history.csv has step, tokens, loss, ce, divergence, lr, validation_nll
                    (nats a token; loss of pairs in nats a pair), hidden (distance of matched
                    layers), margin and correct (of pairs), inside_share of inside_n answers,
                    layer_cosine (of rounded weights to float ones, with qat), delivered (1 at the
                    step whose weights are saved);
                    validation.jsonl and test.jsonl: id, group, nll_nats, tokens, bytes of each row
        metrics     start, signals, seed, steps, delivered_step, tokens seen, highest learning
                    rate, layer_cosine with qat; on validation and test likelihood (nats a token,
                    bits a byte) and perplexity with intervals
"""

from pathlib import Path

from potstill import stage
from potstill.distill.recipe import Recipe as Params


def main(
    params: Params,
    *,
    student: Path,
    tokens: Path,
    signal: Path,
    out: Path,
    measures_out: Path,
    scratch: Path,
) -> dict[str, float | str]:
    """Train, measure on validation and test, and save."""
    from potstill.distill import ranks
    from potstill.distill import student as library

    measured = ranks.run(
        params.processes,
        library.distil,
        params,
        student=student,
        signal=signal,
        tokens=tokens,
        out=out,
        measures_out=measures_out,
        scratch=scratch,
    )
    return {"start": params.start, "seed": params.seed, **measured}


if __name__ == "__main__":
    stage.run(main, Params)
