"""The batches of an epoch."""

from potstill.tokens import examples
from potstill.tokens.examples import Example


def test_batches_cover_every_row_once_an_epoch_and_differ_between_epochs():
    rows = [Example(tuple(range(n + 2)), ((1, n + 2, 1.0),), "g") for n in range(53)]
    first, second = (list(examples.order(rows, 4, 0, epoch)) for epoch in (0, 1))
    assert sorted(row for batch in first for row in batch) == list(range(53))
    assert first != second
    assert first == list(examples.order(rows, 4, 0, 0))


def test_the_order_of_an_epoch_takes_a_few_bytes_a_row():
    rows = [Example((1, 2), ((1, 2, 1.0),), "g")] * 1000
    batches = examples.order(rows, 8, 0, 0)
    assert len(batches) == 125
    assert batches.numbers.nbytes + len(batches.firsts) * batches.firsts.itemsize == 4500
    assert batches[3:5] == [batches[3], batches[4]]
    assert batches[-1] == batches[124]
