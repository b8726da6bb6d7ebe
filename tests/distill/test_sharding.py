"""A training that ranks share is that of one process, and goes on after a kill to the same bytes.

All runs of ranks are of one start of two processes where they can be: a start costs seconds. Not
tested here: CUDA and NCCL, which run the same code with other collectives.
"""

import numpy as np
import pytest
from potstill.distill import checkpoints, ranks, sharding
from potstill.errors import InputError

from tests.distill import on_ranks
from tests.distill.runs import ROWS, WIDE, live_signal

pytestmark = pytest.mark.slow

PLANS = {
    "plain": {},
    "twice": {"gradient_checkpointing": True},
    "one row": {"batch_rows": 1},
    "small passes": {"pass_tokens": 9},
    "adapter": {"adapter": {"kind": "lora", "r": 3, "alpha": 6.0}},
    "vectors": {"adapter": {"kind": "vectors"}},
    "rounded": {"qat": {"quantisation": "int8_channel", "after": 0.5, "min_cosine": 0.0}},
    "layers": {"signal": "signals/live", "alpha": 0.5, "hidden": {"weight": 0.7}},
    "pairs": {"preference": {"beta": 0.3}, "pass_tokens": 16},
}


@pytest.fixture(scope="module")
def signal(tiny_llama, tmp_path_factory):
    """A teacher that is wider and deeper than the student, so that maps are learnt."""
    return live_signal(tiny_llama, tmp_path_factory.mktemp("signal"), **WIDE)


@pytest.fixture(scope="module")
def shared(tiny_llama, tmp_path_factory, signal):
    """What two ranks make of every plan."""
    folder = tmp_path_factory.mktemp("ranks")
    return ranks.run(2, on_ranks.several, tiny_llama, folder, PLANS, signal)


@pytest.mark.parametrize("name", PLANS)
def test_two_ranks_train_as_one_process_does(tiny_llama, tmp_path, shared, signal, name):
    history, weights, held = on_ranks.train(tiny_llama, tmp_path, PLANS[name], signal)
    other, found, part = shared[name]
    for row, same in zip(history, other, strict=True):
        assert row.keys() == same.keys()
        assert same["tokens"] == row["tokens"]
        assert same["loss"] == pytest.approx(row["loss"], abs=1e-5)
    assert any("hidden_maps" in key for key in weights) == (name == "layers")
    assert history[-1]["loss"] != history[0]["loss"]
    assert found.keys() == weights.keys()
    for key, values in weights.items():
        np.testing.assert_allclose(found[key], values, atol=2e-4)
    assert 0.45 * held < part < 0.6 * held  # of weights, and so of moments and gradients


def test_layers_that_are_computed_twice_give_the_same_bytes(shared):
    (history, weights, _), (again, same, _) = shared["plain"], shared["twice"]
    assert history == again
    assert all(np.array_equal(weights[name], same[name]) for name in weights)


@pytest.mark.parametrize("name", ["plain", "rounded", "layers", "pairs"])
def test_a_killed_rank_ends_the_run_and_it_goes_on_to_the_same_bytes(
    tiny_llama, tmp_path, shared, signal, name
):
    scratch, plan = tmp_path / "cut", PLANS[name]
    with pytest.raises(InputError, match=r"^rank 1 was killed by SIGKILL"):
        ranks.run(2, on_ranks.train, tiny_llama, scratch, plan, signal, dies_at=5)
    assert checkpoints.newest(scratch).name == "step-00000004"
    history, weights, _ = ranks.run(2, on_ranks.train, tiny_llama, scratch, plan, signal)
    whole_history, whole, _ = shared[name]
    assert history == whole_history
    assert all(np.array_equal(weights[name], whole[name]) for name in whole)


def test_a_loss_that_is_no_number_on_one_rank_ends_all_at_its_step(tiny_llama, tmp_path):
    with pytest.raises(InputError, match=r"^step 5: the loss is nan.*learning_rate"):
        ranks.run(2, on_ranks.train, tiny_llama, tmp_path, {}, spoilt=5)
    assert checkpoints.newest(tmp_path).name == "step-00000004"


def test_one_process_has_the_passes_of_all_rows():
    dealt = list(sharding.passes(ROWS, 20))
    assert {counts for _, counts in dealt} == {1.0}
    assert sum(len(part) for part, _ in dealt) == len(ROWS)
