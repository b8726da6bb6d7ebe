"""The batches of an epoch."""

from potstill.tokens import examples
from potstill.tokens.examples import Example


def test_batches_cover_every_row_once_an_epoch_and_differ_between_epochs():
    rows = [Example(tuple(range(n + 2)), ((1, n + 2, 1.0),), "g") for n in range(53)]
    first, second = (examples.order(rows, 4, 0, epoch) for epoch in (0, 1))
    assert sorted(row for batch in first for row in batch) == list(range(53))
    assert first != second
    assert first == examples.order(rows, 4, 0, 0)
