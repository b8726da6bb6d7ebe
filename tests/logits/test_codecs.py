"""What the codecs give back: exact ids, bounded log-probabilities, unbiased draws, small records.

Not tested here: speed (see benchmarks/signal_store.py).
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from potstill.errors import InputError
from potstill.logits.codecs import CODECS, DamagedError, Place, bits
from potstill.logits.topk import MIN_LOG_PROBABILITY, TopK, truncate


def topk(vocab_size, k):
    return CODECS["topk"].make(vocab_size=vocab_size, k=k, seed=0)


def sampled(vocab_size, k, seed=0):
    return CODECS["sampled"].make(vocab_size=vocab_size, k=k, seed=seed)


def drawn_logits(num, vocab_size, scale, seed=0):
    source = torch.Generator().manual_seed(seed)
    return torch.randn(num, vocab_size, generator=source) * scale


def by_id(top):
    order = top.ids_NK.argsort(-1)
    return TopK(top.ids_NK.gather(-1, order), top.log_probs_NK.gather(-1, order), top.log_tail_N)


def there_and_back(codec, signal):
    sizes = [len(signal.ids_NK if isinstance(signal, TopK) else signal.ids_NS)]
    return codec.decode(codec.encode(signal, sizes), sizes)


@given(
    width=st.integers(1, bits.MAX_WIDTH), count=st.integers(1, 70), begin=st.integers(0, 5),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_packed_numbers_come_back_from_any_place_in_a_record(width, count, begin, seed):
    values = np.random.default_rng(seed).integers(0, 1 << width, (3, count))
    packed = bits.pack(values, width)
    assert packed.shape == (3, bits.num_bytes(count, width))
    records = np.hstack([np.full((3, begin), 255, np.uint8), packed])
    flat = np.append(records.reshape(-1), np.full(3, 255, np.uint8))
    assert (bits.unpack(flat, records.shape[1], begin, count, width) == values).all()


@given(
    vocab_size=st.integers(2, 3000), k=st.integers(1, 70), scale=st.floats(0.01, 12),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_ids_are_exact_and_log_probabilities_within_the_bound(vocab_size, k, scale, seed):
    top = truncate(drawn_logits(5, vocab_size, scale, seed), k)
    want, got = by_id(top), there_and_back(topk(vocab_size, k), top)
    assert torch.equal(got.ids_NK, want.ids_NK)
    gaps = (top.log_probs_NK.amax(-1, keepdim=True) - want.log_probs_NK).clamp(max=31.875)
    stored = gaps.amax(-1, keepdim=True).div(0.125).ceil().clamp(1, 255) * 0.125
    inside = want.log_probs_NK > want.log_probs_NK.amax(-1, keepdim=True) - 31.875
    error = (got.log_probs_NK - want.log_probs_NK).abs()
    # the tail's float16, too, moves the level
    assert (error <= stored / 63 + 2e-3 + 2e-3 * want.log_probs_NK.abs())[inside].all()
    assert torch.allclose(got.log_tail_N, want.log_tail_N, rtol=1e-3, atol=1e-6)
    total = got.log_probs_NK.double().exp().sum(-1) + got.log_tail_N.double().exp()
    assert torch.allclose(total, torch.ones_like(total), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("scale", "lead"), [(3.0, 0.0), (1.0, 300.0), (0.0, 0.0), (30.0, -300.0)])
def test_truncation_is_the_float64_one_however_small_the_tail(scale, lead, dtype):
    """The kept ids lead by so many nats: a tail of exp(-300) is nothing in float32."""
    logits = drawn_logits(6, 700, scale)
    logits[:, :9] += lead
    logits[:, -3:] = -torch.inf
    top, exact = truncate(logits.to(dtype), 9), logits.to(dtype).double().log_softmax(-1)
    assert torch.equal(top.log_probs_NK, top.log_probs_NK.sort(descending=True).values)
    assert top.ids_NK.sort().values.diff().min() > 0
    assert torch.allclose(exact.gather(-1, top.ids_NK), exact.topk(9).values)
    assert torch.allclose(top.log_probs_NK.double(), exact.topk(9).values, rtol=1e-6, atol=1e-6)
    rest = exact.scatter(-1, top.ids_NK, -torch.inf).logsumexp(-1)
    assert torch.allclose(top.log_tail_N.double(), rest, rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("scale", [0.5, 2.0, 4.0])
def test_storing_costs_little_divergence_whatever_the_temperature(scale):
    """KL of what comes back from what went in, over the k + 1 outcomes."""
    top = truncate(drawn_logits(200, 5000, scale), 50)
    want, got = by_id(top), there_and_back(topk(5000, 50), top)
    for temperature in (1.0, 2.0, 4.0):
        p, q = (
            torch.cat([t.log_probs_NK, t.log_tail_N[:, None]], -1).double().div(temperature)
            .log_softmax(-1)
            for t in (want, got)
        )  # fmt: skip
        kl = (p.exp() * (p - q)).sum(-1)
        assert kl.mean() < 4e-4
        assert kl.max() < 4e-3


def test_extreme_distributions_come_back():
    top = TopK(
        torch.tensor([[0, 1, 508], [7, 6, 5]]),
        torch.tensor([[0.0, -90.0, -300.0], [-1.0986123, -1.0986123, -1.0986123]]),
        torch.tensor([MIN_LOG_PROBABILITY, MIN_LOG_PROBABILITY]),
    )
    got = there_and_back(topk(509, 3), top)
    assert got.log_probs_NK[0].exp().tolist() == pytest.approx([1, 0, 0], abs=1e-12)
    assert got.log_probs_NK[1].exp().tolist() == pytest.approx([1 / 3] * 3, abs=1e-6)
    assert (got.log_tail_N == MIN_LOG_PROBABILITY).all()


def test_the_whole_vocabulary_is_kept_where_k_is_larger():
    top = truncate(drawn_logits(4, 40, 2.0), 1000)
    got = there_and_back(topk(40, 1000), top)
    assert torch.equal(got.ids_NK, torch.arange(40).expand(4, 40))


@pytest.mark.parametrize(
    ("vocab_size", "size"), [(12_288, 104), (49_152, 117), (65_536, 119), (151_936, 126)]
)
def test_fifty_ids_take_less_than_130_bytes(vocab_size, size):
    assert topk(vocab_size, 50).record_bytes == size


@pytest.mark.parametrize("codec", ["topk", "sampled"])
def test_rows_come_back_in_the_order_that_is_asked(codec):
    codec = {"topk": topk, "sampled": sampled}[codec](300, 20)
    places = [Place("a", 0, 2), Place("b", 0, 5), Place("c", 0, 1)]
    whole = codec.select(drawn_logits(8, 300, 2.0), places)
    blobs = codec.encode(whole, [2, 5, 1])
    ids = codec.decode([blobs[2], blobs[0]], [1, 2])
    ids = ids.ids_NK if isinstance(ids, TopK) else ids.ids_NS
    alone = [codec.decode([blobs[place]], [size]) for place, size in ((2, 1), (0, 2))]
    alone = codec.join(alone)
    assert torch.equal(ids, alone.ids_NK if isinstance(alone, TopK) else alone.ids_NS)


def test_draws_are_unbiased():
    """The mean of the weights over many seeds is the teacher's distribution, within 5 sigma."""
    logits = drawn_logits(3, 12, 1.5)
    want = torch.softmax(logits.double(), -1)
    total, repeats, k = torch.zeros(3, 12, dtype=torch.float64), 2000, 5
    for seed in range(repeats):
        got = there_and_back(sampled(12, k, seed), sampled(12, k, seed).select(
            logits, [Place("row", 0, 3)]))  # fmt: skip
        total.scatter_add_(1, got.ids_NS, got.weights_NS.double())
    sigma = (want * (1 - want) / (repeats * k)).sqrt()
    assert ((total / repeats - want).abs() < 5 * sigma).all()


def test_draws_follow_from_seed_key_and_place_alone():
    logits = drawn_logits(6, 200, 2.0)
    codec = sampled(200, 50)
    whole = codec.select(logits, [Place("a", 0, 4), Place("b", 0, 2)])
    pieces = codec.join([
        codec.select(logits[:3], [Place("a", 0, 3)]),
        codec.select(logits[3:5], [Place("a", 3, 4), Place("b", 0, 1)]),
        codec.select(logits[5:], [Place("b", 1, 2)]),
    ])  # fmt: skip
    assert torch.equal(pieces.ids_NS, whole.ids_NS)
    assert torch.equal(pieces.weights_NS, whole.weights_NS)
    for other in (
        sampled(200, 50, 1).select(logits, [Place("a", 0, 6)]),
        codec.select(logits, [Place("c", 0, 6)]),
        codec.select(logits, [Place("a", 1, 7)]),
    ):
        assert other.ids_NS[:4].tolist() != whole.ids_NS[:4].tolist()


@given(vocab_size=st.integers(1, 400), k=st.integers(1, 255), scale=st.floats(0, 30))
def test_draws_come_back_exactly_and_sum_to_one(vocab_size, k, scale):
    codec = sampled(vocab_size, k)
    drawn = codec.select(drawn_logits(4, vocab_size, scale), [Place("x", 0, 4)])
    got = there_and_back(codec, drawn)
    assert torch.equal(got.ids_NS, drawn.ids_NS)
    assert torch.equal(got.weights_NS, drawn.weights_NS)
    assert torch.allclose(got.weights_NS.sum(-1), torch.ones(4))


def test_an_id_without_probability_is_never_drawn():
    logits = torch.full((1, 50), -float("inf"))
    logits[0, [0, 20, 49]] = torch.tensor([0.0, -1.0, -2.0])
    for seed in range(50):
        drawn = sampled(50, 40, seed).select(logits, [Place("x", 0, 1)])
        assert set(drawn.ids_NS[drawn.weights_NS > 0].tolist()) <= {0, 20, 49}


@pytest.mark.parametrize("codec", ["topk", "sampled"])
def test_bytes_that_no_encoder_made_are_refused(codec):
    codec = {"topk": topk, "sampled": sampled}[codec](300, 20)
    blob = codec.encode(codec.select(drawn_logits(3, 300, 2.0), [Place("a", 0, 3)]), [3])[0]
    for wrong in (blob[:-1], np.append(blob, blob[:1]), np.full_like(blob, 255)):
        with pytest.raises(DamagedError):
            codec.decode([wrong], [3])


@pytest.mark.parametrize(("codec", "k"), [("topk", 0), ("sampled", 0), ("sampled", 256)])
def test_a_k_that_cannot_be_kept_is_refused(codec, k):
    with pytest.raises(InputError, match=f"k is {k}"):
        CODECS[codec].make(vocab_size=300, k=k, seed=0)
