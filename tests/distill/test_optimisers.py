"""What decays, and how fast a model is trained by its size."""

import pytest
import torch
from potstill.distill import optimisers

from tests.distill.runs import run, schedule, weights_of


def test_without_a_gradient_a_step_shrinks_matrices_alone(model):
    """Moments of zero leave the decay as the only change: by rate x decay of each weight."""
    before = weights_of(model)
    optimiser = optimisers.make(model.parameters(), schedule(weight_decay=0.5))
    optimisers.set_rate(optimiser, 0.1)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    assert {p.ndim for p in before.values()} == {1, 2}
    for name, after in weights_of(model).items():
        left = 1 - 0.1 * 0.5 if after.ndim == 2 else 1.0
        assert torch.allclose(after, left * before[name], rtol=1e-6, atol=0), name


def test_every_weight_is_in_one_group(model):
    found = [p for group in optimisers.groups(model.parameters(), 0.1) for p in group["params"]]
    assert {id(p) for p in found} == {id(p) for p in model.parameters()}
    assert len(found) == len({id(p) for p in found})


def test_biases_do_not_decay(tiny_qwen2):
    from potstill.loading import load

    model = load.causal_lm(tiny_qwen2, torch.float32, torch.device("cpu"))
    (_, spared) = optimisers.groups(model.parameters(), 0.1)
    assert spared["weight_decay"] == 0.0
    held = {id(p) for p in spared["params"]}
    biases = [p for name, p in model.named_parameters() if name.endswith("bias")]
    assert biases
    assert all(id(p) in held for p in biases)


def test_the_rate_warms_up_and_falls_to_a_tenth():
    plan = schedule(steps=100, warmup_steps=10)
    rates = [optimisers.learning_rate(plan, 1.0, step) for step in range(101)]
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert max(rates) == rates[10] == 1.0
    assert rates[100] == pytest.approx(0.1)


def test_a_stated_rate_is_the_rate_whatever_the_size():
    plan = schedule(learning_rate=0.003)
    assert {optimisers.peak_rate(plan, size) for size in (1, 10**8, 10**10)} == {0.003}


def test_the_rule_is_the_default_runs_rate_at_its_size_and_falls_with_size():
    plan = schedule(learning_rate=None)
    # the default run's student, its teacher cut, and SmolLM2-135M whole
    assert {optimisers.peak_rate(plan, n) for n in (92_000_000, 106_000_000, 134_515_008)} == {1e-4}
    sizes = (135_000_000, 494_000_000, 1_540_000_000, 7_620_000_000)
    rates = [optimisers.peak_rate(plan, n) for n in sizes]
    assert rates == sorted(rates, reverse=True)
    assert optimisers.peak_rate(plan, 4 * 135_000_000) == pytest.approx(0.5e-4)


def test_the_history_has_the_rate_of_the_rule(model, tmp_path):
    history, _ = run(model, schedule(learning_rate=None), tmp_path)
    assert [row["lr"] for row in history[:2]] == pytest.approx([0.5e-4, 1e-4])
