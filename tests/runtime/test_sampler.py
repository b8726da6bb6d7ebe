"""Sampling against transformers' logits processors, by frequencies, and what a draw depends on."""

import numpy as np
import pytest
import torch
from potstill.runtime import Request, Sampling
from potstill.runtime.sampler import Sampler, logprobs, probabilities
from pydantic import ValidationError
from transformers import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

LOGITS = np.random.default_rng(3).normal(scale=3, size=997).astype(np.float32)


def expected(logits, sampling):
    """Return the probabilities that transformers draws from."""
    steps = LogitsProcessorList([TemperatureLogitsWarper(sampling.temperature)])
    if sampling.top_k:
        steps.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        steps.append(TopPLogitsWarper(sampling.top_p))
    scores = steps(torch.zeros(1, 1, dtype=torch.long), torch.from_numpy(logits)[None])
    return scores[0].softmax(-1).numpy()


@pytest.mark.parametrize("temperature", [0.2, 0.7, 1.0, 2.5])
@pytest.mark.parametrize("top_k", [0, 1, 5, 40, 5_000])
@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 0.999, 1.0])
def test_what_may_be_drawn_is_what_transformers_draws_from(temperature, top_k, top_p):
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p)
    got, want = probabilities(LOGITS, sampling), expected(LOGITS, sampling)
    assert np.flatnonzero(got > 1e-30).tolist() == np.flatnonzero(want > 1e-30).tolist()
    assert got.sum() == pytest.approx(1)
    assert np.abs(got - want).max() < 1e-5


def test_the_frequencies_are_the_probabilities():
    sampling = Sampling(temperature=1.0, top_k=6, seed=5)
    want, count = probabilities(LOGITS, sampling), 20_000
    sampler, ids = Sampler(sampling, [1, 2, 3]), np.flatnonzero(want)
    drawn = np.bincount([sampler.choose(LOGITS, n) for n in range(count)], minlength=len(LOGITS))
    assert drawn.sum() == drawn[ids].sum()
    # chi-squared of five degrees of freedom: above 20.5 once in a thousand seeds
    assert ((drawn - count * want)[ids] ** 2 / (count * want[ids])).sum() < 20.5


def test_greedy_is_the_argmax_and_ties_go_to_the_lowest_id():
    scores = np.array([0, 2, 1, 2], np.float32)
    assert Sampler(Sampling(), [1]).choose(scores, 0) == 1
    assert Sampler(Sampling(temperature=1, top_k=1), [1]).choose(LOGITS, 7) == LOGITS.argmax()
    assert Sampler(Sampling(temperature=1e-6, seed=9), [1]).choose(LOGITS, 7) == LOGITS.argmax()


def draws(seed=0, prompt=(1, 2), sample=0, logits=LOGITS):
    sampler = Sampler(Sampling(temperature=1.0, seed=seed), prompt, sample)
    return [sampler.choose(logits, n) for n in range(20)]


def test_a_draw_depends_on_seed_prompt_sample_and_position_and_on_nothing_else():
    np.random.default_rng(0).random()
    assert draws() == draws()
    different = [draws(), draws(seed=1), draws(prompt=(1, 3)), draws(sample=1), draws(prompt=(1,))]
    assert len({tuple(ids) for ids in different}) == len(different)
    assert len(set(draws())) > 5
    sampler = Sampler(Sampling(temperature=1.0), (1, 2))
    assert [sampler.choose(LOGITS, n) for n in (7, 3, 7)] == [draws()[n] for n in (7, 3, 7)]


def test_the_stream_of_random_numbers_is_the_same_on_every_machine_and_in_every_version():
    uniform = np.zeros(1_000, np.float32)
    assert draws(seed=2**64 - 1, prompt=[5], logits=uniform)[:6] == [288, 65, 377, 677, 318, 671]


def test_noise_in_the_last_digits_rarely_changes_a_draw():
    noisy = LOGITS + np.float32(1e-4) * np.random.default_rng(1).normal(size=997).astype("f4")
    sampler = Sampler(Sampling(temperature=1.0, top_p=0.9), [4])
    same = [sampler.choose(LOGITS, n) == sampler.choose(noisy, n) for n in range(2_000)]
    assert np.mean(same) > 0.995


def test_the_highest_number_draws_an_id_that_may_be_drawn(monkeypatch):
    scores = np.full(1_000, -np.inf, np.float32)
    scores[:700] = LOGITS[:700]
    monkeypatch.setattr(Sampler, "_uniform", lambda *_: 1 - 2**-53)
    sampler = Sampler(Sampling(temperature=1.0), [1])
    assert sampler.choose(scores, 0) == 699
    monkeypatch.setattr(Sampler, "_uniform", lambda *_: 0.0)
    assert sampler.choose(scores[::-1].copy(), 0) == 300


def test_an_impossible_id_is_never_drawn():
    scores = np.full(50, -np.inf, np.float32)
    scores[[3, 30]] = 0.0
    for sampling in (
        Sampling(temperature=9.0),
        Sampling(temperature=1.0, top_k=20),
        Sampling(temperature=1.0, top_p=0.99),
    ):
        sampler = Sampler(sampling, [1])
        assert {sampler.choose(scores, n) for n in range(60)} == {3, 30}


def test_equal_logits_may_all_be_drawn():
    for size in (1, 7, 49):
        got = probabilities(np.zeros(size, np.float32), Sampling(temperature=1.0, top_p=1 - 1e-9))
        assert np.count_nonzero(got) == size


def test_log_probabilities_are_those_of_a_softmax():
    want = torch.from_numpy(LOGITS).double().log_softmax(-1)
    got, top = logprobs(LOGITS, 17, 4)
    assert got == pytest.approx(float(want[17]), abs=1e-9)
    values, ids = want.topk(4)
    assert list(top) == ids.tolist()
    assert list(top.values()) == pytest.approx(values.tolist(), abs=1e-9)
    assert logprobs(LOGITS, 17, 0)[1] == {}
    assert len(logprobs(LOGITS, 17, 10_000)[1]) == len(LOGITS)


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": -0.1}, {"temperature": float("nan")}, {"top_p": 0.0}, {"top_p": 1.1},
     {"top_k": -1}, {"seed": -1}, {"typical_p": 0.5}],
)  # fmt: skip
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        Sampling(**wrong)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [({"max_tokens": -1}, "max_tokens is -1"), ({"sample": -2}, "sample is -2"),
     ({"logprobs": -1}, "logprobs is -1"), ({"stops": "```"}, "list of texts"),
     ({"stops": ["a", ""]}, "none of them empty")],
)  # fmt: skip
def test_requests_that_cannot_be_are_refused(wrong, reason):
    with pytest.raises(ValueError, match=reason):
        Request(**{"prompt": [1], "max_tokens": 4} | wrong)
