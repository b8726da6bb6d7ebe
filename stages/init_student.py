"""Make a start of students: another model, fewer of its layers or channels, or a new one.

Reads   source      checkpoint that it is made from
        vocabulary  folder of the vocabulary that teacher and students share
        rows        table of the training rows, which redundancy of layers is measured on
Writes  out         checkpoint
        metrics     source, layers and parameters before and after; with pruning the kept layers,
                    heads and channels, the likelihood before and after, that of both ways of
                    scoring; with a budget the file's foreseen size and the foreseen likelihood
"""

from pathlib import Path

from potstill import stage
from potstill.students.start import Start as Params


def main(
    params: Params, *, source: Path, vocabulary: Path, rows: Path, out: Path, scratch: Path
) -> dict[str, float | str]:
    """Cut the vocabulary, then the layers."""
    from potstill.students import start

    return start.make(
        params, source=source, vocabulary=vocabulary, rows=rows, out=out, scratch=scratch
    )


if __name__ == "__main__":
    stage.run(main, Params)
