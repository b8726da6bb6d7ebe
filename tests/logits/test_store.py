"""The store gives back what was cached, keyed by content, and refuses what does not match."""

import pytest
import torch
from potstill.distill import heldout
from potstill.distill.objective import Objective
from potstill.errors import InputError
from potstill.loading import load
from potstill.logits import caching
from potstill.logits import store as logit_store
from potstill.logits.store import Header, LogitStore
from potstill.logits.topk import truncate
from potstill.tokens import examples
from potstill.tokens.examples import Example

CPU = torch.device("cpu")


def example(ids, start, group):
    return Example(tuple(ids), ((start, len(ids), 1.0),), group)


ROWS = [
    example((5, 9, 14, 3, 8), 2, "a"),
    example((7, 7, 30), 1, "b"),
    example((11, 4, 9, 60, 2, 44, 8), 3, "c"),
    example((5, 9, 14, 3, 9), 2, "a"),
]


@pytest.fixture(scope="module")
def teacher(tiny_llama):
    return load.causal_lm(tiny_llama, torch.float32, CPU)


def make(teacher, out, k=9, batch_rows=2):
    caching.cache(
        teacher,
        ROWS,
        out,
        k=k,
        batch_rows=batch_rows,
        batches_per_shard=1,
        dtype=torch.float32,
    )
    logit_store.write_header(out, Header("t", "tok", "tpl", 509, k))
    return LogitStore(out)


def direct(teacher, row):
    with torch.inference_mode():
        return teacher(torch.tensor([row.ids])).logits[0, row.spans[0][0] - 1 : len(row.ids) - 1]


def test_cached_rows_equal_the_teacher_run_alone(teacher, tmp_path):
    store = make(teacher, tmp_path / "s")
    for row in ROWS:  # the store saw them padded and in batches
        want, got = truncate(direct(teacher, row), 9), store.get([row.key])
        assert torch.equal(got.ids_NK, want.ids_NK)
        assert torch.allclose(got.log_probs_NK, want.log_probs_NK, rtol=2e-3)
        assert torch.allclose(got.log_tail_N, want.log_tail_N, atol=1e-4)


def test_kl_from_the_store_is_near_zero_for_the_teacher_itself(teacher, tmp_path):
    store = make(teacher, tmp_path / "s", k=64)
    logits, labels = direct(teacher, ROWS[2]), torch.tensor(ROWS[2].ids[3:])
    objective = Objective("forward_kl", temperature=2.0)
    found = objective.terms(logits, labels, store.get([ROWS[2].key])).divergence_B
    assert found.sum().item() < 2e-3  # float16 rounding of the cached log-probabilities


def test_order_of_asking_decides_the_order_of_rows(teacher, tmp_path):
    store = make(teacher, tmp_path / "s")
    keys = [ROWS[2].key, ROWS[0].key]
    both = store.get(keys)
    parts = [store.get([key]).ids_NK for key in keys]
    assert torch.equal(both.ids_NK, torch.cat(parts))


def test_rows_that_differ_in_one_token_have_their_own_entries():
    assert ROWS[0].key != ROWS[3].key
    assert example(ROWS[0].ids, 3, "a").key != ROWS[0].key


def test_finished_shards_are_kept_and_the_rest_is_made(teacher, tmp_path):
    whole = make(teacher, tmp_path / "whole")
    make(teacher, tmp_path / "s")
    first = sorted((tmp_path / "s").glob("shard-*"))[0]
    stamp = first.stat().st_mtime_ns
    sorted((tmp_path / "s").glob("shard-*"))[1].unlink()
    again = make(teacher, tmp_path / "s")
    assert first.stat().st_mtime_ns == stamp
    for row in ROWS:
        assert torch.equal(again.get([row.key]).log_tail_N, whole.get([row.key]).log_tail_N)


def test_kept_mass_is_one_minus_the_tail(teacher, tmp_path):
    store = make(teacher, tmp_path / "s", k=509)
    assert caching.kept_mass(store, ROWS) == pytest.approx(1.0)
    assert 0 < caching.kept_mass(make(teacher, tmp_path / "k", k=3), ROWS) < 1


@pytest.mark.parametrize("name", ["tokenizer_sha256", "template_sha256"])
def test_a_store_for_something_else_is_refused(teacher, tmp_path, name):
    store = make(teacher, tmp_path / "s")
    wanted = {"tokenizer_sha256": "tok", "template_sha256": "tpl"}
    store.check(**wanted)
    wrong = wanted | {name: "other"}
    with pytest.raises(InputError, match=name):
        store.check(**wrong)


def test_an_unknown_row_is_refused(teacher, tmp_path):
    store = make(teacher, tmp_path / "s")
    with pytest.raises(InputError, match="run cache_logits again"):
        store.get([example((1, 2, 3), 1, "x").key])


def test_heldout_likelihood_equals_torch_and_has_an_interval(teacher):
    rows = heldout.measure(teacher, ROWS, batch_rows=3, dtype=torch.float32)
    measured = heldout.summary(rows)
    assert [(row["id"], row["group"]) for row in rows] == [(row.key, row.group) for row in ROWS]
    total = sum(
        torch.nn.functional.cross_entropy(
            direct(teacher, row), torch.tensor(row.ids[row.spans[0][0] :]), reduction="sum"
        ).item()
        for row in ROWS
    )
    tokens = sum(row.num_answer_tokens for row in ROWS)
    assert measured["heldout_nll_nats"] == pytest.approx(total / tokens, rel=1e-4)
    low, high = measured["heldout_nll_nats_low"], measured["heldout_nll_nats_high"]
    assert low < measured["heldout_nll_nats"] < high
    assert measured["heldout_groups"] == 3


def test_batches_cover_every_row_once_an_epoch_and_differ_between_epochs():
    rows = [example(tuple(range(n + 2)), 1, "g") for n in range(53)]
    first, second = (examples.order(rows, 4, 0, epoch) for epoch in (0, 1))
    assert sorted(row for batch in first for row in batch) == list(range(53))
    assert first != second
    assert first == examples.order(rows, 4, 0, 0)
