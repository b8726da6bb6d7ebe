"""Train one student: from the teacher's cached distributions, from labels alone, or not at all.

Reads   student     checkpoint to start from
        tokens      folder with train.arrow, validation.arrow and test.arrow, tokenised rows
        logits      logit store of the adapted teacher
Writes  out         checkpoint of the trained student
        measures_out folder: history.csv has step, tokens, loss, ce, divergence, lr, validation_nll
                    (nats a token); validation.jsonl and test.jsonl: id, group, nll_nats, tokens,
                    bytes of each row
        metrics     steps, tokens seen, highest learning rate; on validation and test likelihood
                    (nats a token, bits a byte) and perplexity with intervals
"""

from pathlib import Path

from potstill import stage
from potstill.distill.recipe import Recipe as Params


def main(
    params: Params,
    *,
    student: Path,
    tokens: Path,
    logits: Path,
    out: Path,
    measures_out: Path,
    scratch: Path,
) -> dict[str, float | str]:
    """Train, measure on validation and test, and save."""
    from potstill.distill import student as library

    measured = library.train(
        params,
        library.distillation_loss(params, student, logits),
        start=student,
        tokens=tokens,
        out=out,
        measures_out=measures_out,
        scratch=scratch,
    )
    return {"start": params.start, **measured}


if __name__ == "__main__":
    stage.run(main, Params)
