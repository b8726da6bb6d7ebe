"""Adapters: what is trained, what is kept, and the ordinary model that they make."""

import pytest
import torch
from potstill.distill import adapters, checkpoints, head, optimisers, training
from potstill.distill.recipe import Adapter
from potstill.errors import InputError
from potstill.loading import load
from pydantic import ValidationError

from tests.distill.runs import LABELS, ROWS, KilledError, dies, run, schedule

CPU = torch.device("cpu")
SMALL = {"r": 3, "alpha": 6.0}


def adapted(folder, dtype=torch.float32, **settings):
    torch.manual_seed(3)
    model = load.causal_lm(folder, dtype, CPU)
    adapter = Adapter(**(SMALL | settings))
    names = adapters.targets(adapter, folder)
    adapters.attach(model, adapter, names)
    return model


def plan(**changes):
    return schedule(adapter=SMALL, **changes)


def logits(model):
    ids = torch.tensor([ROWS[4].ids, ROWS[9].ids[::-1]])
    with torch.inference_mode():
        return model.eval()(ids).logits.float()


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
def test_seven_matrices_a_layer_are_adapted_in_every_family(tiny_checkpoint, family):
    model = adapted(tiny_checkpoint(family))
    layers = model.config.num_hidden_layers
    trained = checkpoints.trained(model)
    assert len(trained) == 2 * 7 * layers
    assert all(".lora_" in name for name in trained)
    assert {p.dtype for p in trained.values()} == {torch.float32}


def test_the_base_is_frozen_in_the_dtype_of_products_and_stays_as_it_was(tiny_llama, tmp_path):
    model = adapted(tiny_llama, torch.bfloat16)
    frozen = {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}
    assert {p.dtype for p in frozen.values()} == {torch.bfloat16}
    training.train(
        model, ROWS, LABELS, plan(precision="bfloat16"),
        dtype=torch.bfloat16, scratch=tmp_path, evaluate=lambda _: {},
    )  # fmt: skip
    now = dict(model.named_parameters())
    assert all(torch.equal(now[name], tensor) for name, tensor in frozen.items())
    assert all(p.abs().sum() > 0 for n, p in now.items() if "lora_B" in n)


@pytest.mark.parametrize(
    ("dtype", "near"), [(torch.float32, 2e-5), (torch.bfloat16, 0.05)], ids=["float32", "bfloat16"]
)
def test_the_merged_model_is_the_adapted_one(tiny_llama, tmp_path, dtype, near):
    """In bfloat16 the frozen weights are rounded, the merged ones are not."""
    model = adapted(tiny_llama, dtype)
    before = logits(load.causal_lm(tiny_llama, torch.float32, CPU))
    training.train(
        model, ROWS, LABELS, plan(learning_rate=0.02),
        dtype=dtype, scratch=tmp_path, evaluate=lambda _: {},
    )  # fmt: skip
    wanted = logits(model)
    adapters.merge(model, tiny_llama, CPU)
    whole = adapters.weights(model)
    assert {p.dtype for p in whole.values()} == {torch.float32}
    start = dict(load.causal_lm(tiny_llama, dtype, CPU).named_parameters())
    assert {name: p.shape for name, p in whole.items()} == {n: p.shape for n, p in start.items()}
    made = logits(model)
    assert (wanted - made).abs().max() < near * wanted.abs().max()
    assert (made - before).abs().max() > 4 * near * wanted.abs().max()


def test_an_adapter_that_was_not_trained_makes_the_start(tiny_llama):
    model = adapted(tiny_llama, torch.bfloat16)
    adapters.merge(model, tiny_llama, CPU)
    start = dict(load.causal_lm(tiny_llama, torch.float32, CPU).named_parameters())
    whole = adapters.weights(model)
    assert whole.keys() == start.keys()
    assert all(torch.equal(tensor, start[name]) for name, tensor in whole.items())


@pytest.mark.parametrize("family", ["llama", "qwen2"])  # a head of its own; a tied one, biases
def test_a_model_that_was_merged_is_adapted_again_as_before(tiny_checkpoint, family):
    folder = tiny_checkpoint(family)
    model = adapted(folder, torch.bfloat16)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.01)
    before, trained = logits(model), checkpoints.trained(model)
    adapters.merge(model, folder, CPU)
    made = logits(model)
    assert not torch.equal(made, before)
    assert (made - before).abs().max() < 0.05 * made.abs().max()
    adapters.unmerge(model, folder, CPU, torch.bfloat16)
    assert torch.equal(logits(model), before)
    again = checkpoints.trained(model)
    assert again.keys() == trained.keys()
    assert all(again[name] is weight for name, weight in trained.items())


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_killed_run_goes_on_to_the_same_bytes(tiny_llama, tmp_path, dropout):
    """With dropout too: what a step draws depends on its number alone."""
    recipe = plan(evaluate_every=1)
    history, whole = run(adapted(tiny_llama, dropout=dropout), recipe, tmp_path / "whole")
    with pytest.raises(KilledError):
        run(adapted(tiny_llama, dropout=dropout), recipe, tmp_path / "cut", evaluate=dies(5))
    torch.manual_seed(99)  # another process has drawn otherwise
    again, weights = run(adapted(tiny_llama, dropout=dropout), recipe, tmp_path / "cut")
    assert again == history
    assert all(torch.equal(weights[name], whole[name]) for name in whole)
    dry, _ = run(adapted(tiny_llama), recipe, tmp_path / "dry")
    assert (dry == history) == (dropout == 0.0)


def test_a_checkpoint_holds_the_adapter_and_its_moments_alone(tiny_llama, tmp_path):
    from safetensors.torch import load_file

    model = adapted(tiny_llama)
    run(model, plan(), tmp_path)
    folder = checkpoints.newest(tmp_path)
    assert load_file(folder / "model.safetensors").keys() == checkpoints.trained(model).keys()
    moments = {key.rsplit("/", 1)[0] for key in load_file(folder / "optimiser.safetensors")}
    assert moments == checkpoints.trained(model).keys()


def test_a_frozen_head_gets_no_gradient_and_none_is_computed(tiny_llama):
    model = adapted(tiny_llama)
    loss = training.batch_loss(model, ROWS[:2], LABELS, torch.float32).loss
    to_hidden, to_weight, to_bias = loss.grad_fn.gradients
    assert isinstance(loss.grad_fn, head._Fused._backward_cls)
    assert to_hidden is not None
    assert to_weight is None
    assert to_bias is None
    loss.backward()
    assert model.lm_head.weight.grad is None


def test_a_target_that_the_family_lacks_is_named(tiny_llama):
    adapter = Adapter.model_construct(r=3, alpha=6.0, dropout=0.0, targets=["q_proj", "qkv_proj"])
    with pytest.raises(InputError, match=r"llama, which has no 'qkv_proj'; allowed: .*q_proj"):
        adapters.targets(adapter, tiny_llama)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"targets": ["q_prok"]}, "no family has 'q_prok'.*did you mean q_proj"),
        ({"targets": []}, "at least 1"),
        ({"r": 0}, "greater than or equal to 1"),
        ({"alpha": 0.0}, "greater than 0"),
        ({"dropout": 1.0}, "less than 1"),
        ({"rank": 3}, "[Ee]xtra"),
        ({"base": "nf4"}, "[Ee]xtra"),
    ],
)
def test_settings_that_mean_nothing_are_refused(changes, named):
    with pytest.raises(ValidationError, match=named):
        schedule(adapter=SMALL | changes)


def test_fewer_targets_train_fewer_weights(tiny_llama):
    few = adapted(tiny_llama, targets=["q_proj", "v_proj"])
    places = {name.split(".lora_")[0].rsplit(".", 1)[1] for name in checkpoints.trained(few)}
    assert places == {"q_proj", "v_proj"}


def test_the_rule_gives_an_adapter_its_rate_at_every_size():
    recipe = plan(learning_rate=None)
    assert {optimisers.peak_rate(recipe, n) for n in (10**6, 10**9)} == {1e-4}
