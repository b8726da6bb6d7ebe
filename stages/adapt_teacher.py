"""Cut the teacher to the vocabulary and train it on the labels, so that it knows the domain.

A teacher that has seen the domain is worth following there; one that has not pulls the student back
to its own habits ("teacher correction", Minitron, arXiv:2408.11796, section 3.1).

Reads   teacher     checkpoint
        vocabulary  folder of the vocabulary that teacher and students share
        tokens      folder with train.arrow, validation.arrow and test.arrow, tokenised rows
Writes  out         the adapted teacher; with 0 steps only its vocabulary is cut
        measures_out folder: history.csv has step, tokens, loss, ce, divergence, lr, validation_nll
                    (nats a token), inside_share of inside_n answers, delivered (1 at the step
                    whose weights are saved);
                    validation.jsonl and test.jsonl: id, group, nll_nats, tokens, bytes of each row
        metrics     steps, delivered_step, tokens seen, highest learning rate; on validation and
                    test likelihood (nats a token, bits a byte) and perplexity with intervals
"""

from pathlib import Path

from potstill import files, stage
from potstill.distill.recipe import Training as Params


def main(
    params: Params,
    *,
    teacher: Path,
    vocabulary: Path,
    tokens: Path,
    out: Path,
    measures_out: Path,
    scratch: Path,
) -> dict[str, float]:
    """Train, measure on validation and test, and save."""
    from potstill.distill import ranks, student, training
    from potstill.distill.objective import Objective
    from potstill.vocabulary import trimming

    start = scratch / "cut"
    files.remove(start)  # a killed run may have left a half
    trimming.apply(vocabulary, teacher, start)
    return ranks.run(
        params.processes,
        student.train,
        params,
        training.Loss(Objective("cross_entropy", chunk_tokens=params.chunk_tokens)),
        start=start,
        tokens=tokens,
        out=out,
        measures_out=measures_out,
        scratch=scratch,
    )


if __name__ == "__main__":
    stage.run(main, Params)
