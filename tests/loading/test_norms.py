"""Norms in one operation equal transformers' own, values and gradients, in every family."""

import copy
import gc
import weakref

import pytest
import torch
from potstill.loading import load, norms
from potstill.models.families import FAMILIES

TINY = {
    "vocab_size": 61, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 6, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 32, "tie_word_embeddings": True,
}  # fmt: skip


@pytest.fixture(params=FAMILIES)
def pair(request):
    """Return a model as transformers computes it, and the same with light norms."""
    torch.manual_seed(0)
    plain = load.from_config({**TINY, "model_type": request.param})
    for name, weight in plain.named_parameters():
        if "norm" in name:
            torch.nn.init.normal_(weight, 1.0, 0.3)
    light = copy.deepcopy(plain)
    norms.lighten(light)
    return plain, light


def run(model, *, autocast=False):
    ids = torch.arange(18).reshape(2, 9)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in model.named_parameters()}


def kept_bytes(model):
    seen = {}

    def keep(tensor):
        seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes(), tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        run(model, autocast=True)
    return sum(size for size, _ in seen.values())


def test_loss_and_gradients_are_those_of_transformers(pair):
    plain, light = (run(model.double()) for model in pair)
    torch.testing.assert_close(light, plain)


def test_in_bfloat16_gradients_differ_by_rounding_alone(pair):
    plain, light = pair
    exact = run(copy.deepcopy(plain).double())[1]
    ours, theirs = (run(model, autocast=True)[1] for model in (light, plain))
    for name, wanted in exact.items():
        allowed = 1.5 * (theirs[name] - wanted).norm() + 0.01 * wanted.norm()
        assert (ours[name] - wanted).norm() < allowed, name


def test_every_norm_is_light_and_less_is_kept(pair):
    plain, light = pair
    count = sum("norm" in name for name, _ in light.named_parameters())
    assert sum(hasattr(m, "variance_epsilon") for m in light.modules()) == count
    assert (
        sum(
            "forward" in vars(type(m)) and type(m).__name__.startswith("Light")
            for m in light.modules()
        )
        == count
    )
    assert kept_bytes(light) < 0.9 * kept_bytes(plain)


def test_without_gradients_logits_are_transformers_to_the_bit(pair):
    ids = torch.arange(18).reshape(2, 9)
    with torch.no_grad():
        plain, light = (model(input_ids=ids).logits for model in pair)
    assert torch.equal(plain, light)


def test_gradients_are_those_of_finite_differences():
    torch.manual_seed(0)
    hidden = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w: norms.rms_norm(x, w, 1e-3), (hidden, weight))


def test_a_light_model_is_freed_with_its_last_name(pair):
    """A norm in a cycle would keep the file that its weight is a view of mapped."""
    gc.collect()
    gc.disable()
    try:
        model = copy.deepcopy(pair[1])
        watched = [weakref.ref(module) for module in model.modules()]
        del model
        assert [ref() for ref in watched if ref() is not None] == []
    finally:
        gc.enable()
