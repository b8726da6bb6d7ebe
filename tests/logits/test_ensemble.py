"""The mean of teachers against its definition in float64 over the whole vocabulary."""

from dataclasses import replace

import pytest
import torch
from potstill.errors import InputError
from potstill.logits.ensemble import Ensemble, combine
from potstill.logits.store import packed_keys
from potstill.logits.topk import truncate

N, V = 9, 61


def teachers(count):
    source = torch.Generator().manual_seed(4)
    return [torch.randn(N, V, generator=source) * 3 for _ in range(count)]


def weights(*values):
    return torch.tensor(values).expand(N, -1)


def dense(top):
    """A distribution over all ids in which the rest is spread evenly."""
    each = top.log_tail_N.double() - torch.tensor(float(max(V - top.ids_NK.shape[1], 1))).log()
    whole = each[:, None].expand(N, V).clone()
    return whole.scatter(-1, top.ids_NK, top.log_probs_NK.double())


def geometric_mean(distributions, given):
    given = torch.tensor(given, dtype=torch.float64)
    mean = sum(w * p for w, p in zip(given / given.sum(), distributions, strict=True))
    return torch.log_softmax(mean, -1)


@pytest.mark.parametrize("given", [(1.0, 1.0), (0.2, 0.8), (3.0, 0.0), (1.0, 2.0, 3.0)])
def test_with_the_whole_vocabulary_it_is_the_definition(given):
    logits = teachers(len(given))
    got = combine([truncate(row, V) for row in logits], weights(*given), V)
    want = geometric_mean([torch.log_softmax(row.double(), -1) for row in logits], given)
    assert torch.allclose(got.log_probs_NK.double(), want.gather(-1, got.ids_NK), atol=1e-5)
    assert (got.ids_NK.sort(-1).values == torch.arange(V)).all()
    assert (got.log_tail_N < -1000).all()


@pytest.mark.parametrize("ks", [(5, 5), (3, 9), (1, 1, 1), (20, 60)])
def test_with_top_tokens_it_is_the_definition_over_evenly_spread_rests(ks):
    tops = [truncate(row, k) for row, k in zip(teachers(len(ks)), ks, strict=True)]
    given = (1.0, 3.0, 0.5)[: len(ks)]
    got = combine(tops, weights(*given), V)
    want = geometric_mean([dense(top) for top in tops], given)
    assert got.ids_NK.shape == (N, max(ks))
    assert all(len(set(row)) == max(ks) for row in got.ids_NK.tolist())
    assert torch.allclose(got.log_probs_NK.double(), want.gather(-1, got.ids_NK), atol=1e-5)
    rest = want.scatter(-1, got.ids_NK, -torch.inf).logsumexp(-1)
    assert torch.allclose(got.log_tail_N.double(), rest, atol=1e-5)
    union = [set().union(*(top.ids_NK[n].tolist() for top in tops)) for n in range(N)]
    for row, ids, known in zip(want, got.ids_NK.tolist(), union, strict=True):
        left = list(known - set(ids))
        assert not left or row[left].max() <= row[ids].min() + 1e-9


def test_a_teacher_with_itself_is_itself():
    top = truncate(teachers(1)[0], 7)
    got = combine([top, top], weights(0.3, 0.7), V)
    assert torch.equal(got.ids_NK, top.ids_NK)
    assert torch.allclose(got.log_probs_NK, top.log_probs_NK, atol=1e-6)
    assert torch.allclose(got.log_tail_N, top.log_tail_N, atol=1e-5)


def test_each_row_has_the_weights_of_its_domain(make, rows):
    first, second = make("a", k=9), make("b", k=4, seed=1, teacher_sha256="other")
    both = Ensemble([first, second], [1, 1], {"code": [1, 0], "chat": [0, 1]})
    keys = [rows[0].key, rows[2].key, rows[1].key]
    got = both.get(keys, ["code", "chat", "neither"])
    sizes = first.num_tokens_of(keys).tolist()
    assert sizes == [3, 4, 2]
    one, two, three = (got.rows(slice(sum(sizes[:n]), sum(sizes[: n + 1]))) for n in range(3))
    assert torch.allclose(one.log_tail_N, first.get(keys[:1]).log_tail_N, atol=1e-4)
    mixed = two.log_probs_NK.exp().sum(-1) + two.log_tail_N.exp()
    assert torch.allclose(mixed, torch.ones(4), atol=1e-5)
    kept = second.get(keys[1:2])
    assert (two.ids_NK[:, :4].sort(-1).values == kept.ids_NK.sort(-1).values).all()
    plain = Ensemble([first, second], [0.5, 0.5]).get(keys[2:])
    assert torch.allclose(three.log_probs_NK, plain.log_probs_NK)


def test_the_order_of_stores_does_not_matter(make, rows):
    stores = [make("a", k=9), make("b", k=5)]
    keys = [row.key for row in rows]
    one = Ensemble(stores, [1, 3]).get(keys)
    two = Ensemble(stores[::-1], [3, 1]).get(keys)
    assert torch.allclose(one.log_tail_N, two.log_tail_N, atol=1e-6)
    assert torch.equal(one.ids_NK, two.ids_NK)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"tokenizer_sha256": "x"}, "has tokenizer_sha256 x, .* only teachers of one tokenizer"),
        ({"vocab_size": 500}, "has vocab_size 500, .*509"),
        ({"codec": "sampled", "k": 5}, "holds drawn ids, .* cache it with codec topk"),
    ],
)
def test_stores_that_do_not_go_together_are_refused(make, other, said):
    with pytest.raises(InputError, match=said):
        Ensemble([make("a"), make("b", **other)], [1, 1])


@pytest.mark.parametrize("wrong", [[1], [1, -1], [0, 0], [1, float("nan")]])
def test_weights_that_weigh_nothing_are_refused(make, wrong):
    stores = [make("a"), make("b", seed=1)]
    for how in ({"weights": wrong}, {"weights": [1, 1], "by_domain": {"code": wrong}}):
        with pytest.raises(InputError, match="give one weight for each of the 2 stores"):
            Ensemble(stores, **how)


def test_no_stores_are_refused():
    with pytest.raises(InputError, match="has no stores"):
        Ensemble([], [])


def test_an_ensemble_is_checked_as_its_stores_are(make):
    both = Ensemble([make("a"), make("b", k=3)], [1, 1])
    both.check({"tokenizer_sha256": "tok", "template_sha256": "tpl"})
    with pytest.raises(InputError, match="template_sha256"):
        both.check({"tokenizer_sha256": "tok", "template_sha256": "x"})


def test_an_ensemble_of_one_is_that_store(make, rows):
    store = make("a", k=9)
    alone = Ensemble([store], [0.3]).signal_of(rows)
    want = store.signal_of(rows)
    assert torch.equal(alone.ids_NK, want.ids_NK)
    assert torch.equal(alone.log_probs_NK, want.log_probs_NK)
    assert torch.equal(alone.log_tail_N, want.log_tail_N)


def test_a_row_that_some_lack_is_the_mean_of_those_that_have_it(make, rows):
    """Of one alone it is that one's, to the bit, wherever the row stands in the batch."""
    first = make("a", rows=rows[:2], k=9)
    second = make("b", rows=rows[1:], k=9, teacher_sha256="other")
    both = Ensemble([first, second], [1, 3])
    assert both.summary() == {"num_rows": 4, "num_shared_rows": 1}
    for order in ([0, 1, 2, 3], [3, 1, 0, 2], [2, 0], [1], [1, 0, 1]):
        asked = [rows[number] for number in order]
        both.require(asked)
        got, begin = both.signal_of(asked), 0
        for row in asked:
            part = got.rows(slice(begin, begin := begin + row.num_answer_tokens))
            stores = [s for s in (first, second) if s.holds(packed_keys([row.key]))[0]]
            given = [1, 3] if len(stores) == 2 else [1]
            want = Ensemble(stores, given).get([row.key])
            assert torch.equal(part.ids_NK, want.ids_NK)
            assert torch.allclose(part.log_probs_NK, want.log_probs_NK, atol=1e-6)
            assert torch.allclose(part.log_tail_N, want.log_tail_N, atol=1e-6)
        assert begin == len(got.log_tail_N)


def test_a_row_that_none_has_is_refused_before_a_training_and_in_it(make, rows):
    both = Ensemble([make("a", rows=rows[:2]), make("b", rows=rows[1:3])], [1, 1])
    for ask in (both.require, both.signal_of):
        with pytest.raises(InputError, match=rf"has the row {rows[3].key} \(1 of 4 are missing\)"):
            ask(rows)


def test_a_row_that_only_a_store_without_weight_has_is_refused(make, rows):
    stores = [make("a", rows=rows[:2]), make("b", rows=rows[1:])]
    both = Ensemble(stores, [1, 1], {"python": [0, 1]})
    both.get([rows[1].key, rows[0].key], ["python", "javascript"])
    with pytest.raises(InputError, match="1 rows, the first of the language 'python', are only"):
        both.get([rows[1].key, rows[0].key], ["python", "python"])
    with pytest.raises(InputError, match="1 rows, the first of the language 'python', are only"):
        both.require([replace(row, language="python") for row in rows])
    both.require(rows)


def test_stores_of_other_rows_must_keep_as_many_ids(make, rows):
    whole, part, wide = make("a", k=4), make("b", rows=rows[:3], k=4), make("c", k=9)
    Ensemble([whole, part], [1, 1])
    with pytest.raises(InputError, match=r"different rows and keep \[4, 4, 9\] ids of a token"):
        Ensemble([whole, part, wide], [1, 1, 1])
