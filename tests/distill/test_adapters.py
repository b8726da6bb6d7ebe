"""Adapters: what is trained, what is kept, and the ordinary model that they make."""

import pytest
import torch
from potstill.distill import adapters, checkpoints, head, optimisers, training
from potstill.distill.recipe import LowRank
from potstill.distill.start import Start
from potstill.errors import InputError
from potstill.export import gguf
from potstill.loading import load
from potstill.sources import fetch
from pydantic import ValidationError

from tests.distill.runs import LABELS, ROWS, KilledError, dies, run, schedule

CPU = torch.device("cpu")
SMALL = {"kind": "lora", "r": 3, "alpha": 6.0}
DROPS = SMALL | {"dropout": 0.3}
VECTORS = {"kind": "vectors"}
BOTH = pytest.mark.parametrize("kind", [SMALL, VECTORS], ids=["lora", "vectors"])


def adapted(folder, dtype=torch.float32, kind=SMALL, **settings):
    torch.manual_seed(3)
    plan = schedule(adapter=kind | settings, precision=str(dtype).removeprefix("torch."))
    return Start.of(folder, plan).model()


def plan(**changes):
    return schedule(**({"adapter": SMALL} | changes))


def moved(model):
    """Change what is trained by as much as training does."""
    with torch.no_grad():
        for name, weight in checkpoints.trained(model).items():
            if ".lora_A" not in name:
                waves = torch.arange(weight.numel()).reshape(weight.shape).cos()
                weight.add_(0.01 + 0.002 * waves)


def logits(model):
    ids = torch.tensor([ROWS[4].ids, ROWS[9].ids[::-1]])
    product = model.model.layers[0].self_attn.q_proj
    dtype = getattr(product, "base_layer", product).weight.dtype
    with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
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


@BOTH
@pytest.mark.parametrize(
    ("dtype", "near"), [(torch.float32, 2e-5), (torch.bfloat16, 0.05)], ids=["float32", "bfloat16"]
)
def test_the_merged_model_is_the_adapted_one(tiny_llama, tmp_path, kind, dtype, near):
    """In bfloat16 the frozen weights are rounded, the merged ones are not."""
    model = adapted(tiny_llama, dtype, kind)
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


@BOTH
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_an_adapter_that_was_not_trained_makes_the_start(tiny_checkpoint, family, kind):
    """To the bit: norms and biases too, which the dtype of products would have rounded."""
    folder = tiny_checkpoint(family)
    model = adapted(folder, torch.bfloat16, kind)
    adapters.merge(model, folder, CPU)
    start = dict(load.causal_lm(folder, torch.float32, CPU).named_parameters())
    whole = adapters.weights(model)
    assert whole.keys() == start.keys()
    assert all(torch.equal(tensor, start[name]) for name, tensor in whole.items())


@BOTH
@pytest.mark.parametrize("family", ["llama", "qwen2"])  # a head of its own; a tied one, biases
def test_a_model_that_was_merged_is_adapted_again_as_before(tiny_checkpoint, family, kind):
    folder = tiny_checkpoint(family)
    model = adapted(folder, torch.bfloat16, kind)
    moved(model)
    before, trained = logits(model), checkpoints.trained(model)
    adapters.merge(model, folder, CPU)
    made = logits(model)
    assert not torch.equal(made, before)
    assert (made - before).abs().max() < 0.06 * made.abs().max()
    adapters.unmerge(model, folder, CPU, torch.bfloat16)
    assert torch.equal(logits(model), before)
    again = checkpoints.trained(model)
    assert again.keys() == trained.keys()
    assert all(again[name] is weight for name, weight in trained.items())


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
def test_vectors_are_all_norms_and_biases_and_a_factor_of_each_row(tiny_checkpoint, family):
    folder = tiny_checkpoint(family)
    model = adapted(folder, torch.bfloat16, VECTORS)
    start = dict(load.causal_lm(folder, torch.float32, CPU).named_parameters())
    trained = checkpoints.trained(model)
    rows = {name for name in trained if name.endswith(".row_factors")}
    assert len(rows) == 7 * model.config.num_hidden_layers
    own = {name.replace(".base_layer.", "."): trained[name] for name in trained.keys() - rows}
    assert own.keys() == {name for name, tensor in start.items() if tensor.ndim == 1}
    assert {p.dtype for p in trained.values()} == {torch.float32}
    assert {p.dtype for p in model.parameters() if not p.requires_grad} == {torch.bfloat16}


def test_a_factor_multiplies_its_row_and_no_bias(tiny_checkpoint):
    folder = tiny_checkpoint("qwen2")
    model = adapted(folder, kind=VECTORS)
    moved(model)
    name = "model.layers.1.self_attn.k_proj"
    layer = model.get_submodule(name)
    factors, bias = layer.row_factors.detach().clone(), layer.base_layer.bias.detach().clone()
    matrix = load.causal_lm(folder, torch.float32, CPU).get_submodule(name).weight
    x = torch.randn(3, matrix.shape[1])
    wanted = (x.double() @ matrix.double().T) * factors.double() + bias.double()
    assert torch.allclose(layer(x).double(), wanted, atol=1e-6)
    adapters.merge(model, folder, CPU)
    whole = adapters.weights(model)
    assert torch.equal(whole[f"{name}.weight"], matrix * factors[:, None])
    assert torch.equal(whole[f"{name}.bias"], bias)
    assert torch.allclose(layer(x).double(), wanted, atol=1e-6)


def test_no_targets_train_norms_and_biases_alone(tiny_llama):
    model = adapted(tiny_llama, kind=VECTORS, targets=[])
    start = load.causal_lm(tiny_llama, torch.float32, CPU)
    assert checkpoints.trained(model).keys() == {
        name for name, tensor in start.named_parameters() if tensor.ndim == 1
    }


@BOTH
def test_what_is_saved_makes_the_student_again(tiny_checkpoint, tmp_path, kind):
    folder = tiny_checkpoint("qwen2")
    begin = Start.of(folder, schedule(adapter=kind | {"targets": ["k_proj", "down_proj"]}))
    model = begin.model()
    moved(model)
    begin.save(begin.exact(model), tmp_path / "student", [])
    adapters.apply(tmp_path / "student/adapter", folder, tmp_path / "again")
    again, student = (
        load.causal_lm(tmp_path / name, torch.float32, CPU).state_dict()
        for name in ("again", "student")
    )
    assert all(torch.equal(again[name], tensor) for name, tensor in student.items())
    start = load.causal_lm(folder, torch.float32, CPU).state_dict()
    assert any(not torch.equal(student[name], tensor) for name, tensor in start.items())


@pytest.mark.parametrize("quantisation", ["q4_0", "q8_0", "q4_k_m"])
def test_a_file_keeps_vectors_and_rounds_a_low_rank_product(
    tiny_checkpoint, tmp_path, quantisation
):
    """A start whose matrices are on the file's grid already, as one that was fetched as GGUF is."""
    folder, out = tiny_checkpoint("qwen2"), {}
    gguf.export(folder, tmp_path / "grid", quantisation=quantisation)
    fetch.fetch(f"gguf:{tmp_path / 'grid/model.gguf'}", None, "float32", tmp_path / "start")
    for kind in (SMALL, VECTORS):
        begin = Start.of(tmp_path / "start", schedule(adapter=kind))
        model = begin.model()
        moved(model)
        place = tmp_path / kind["kind"]
        begin.save(begin.exact(model), place, [])
        gguf.export(place, tmp_path / f"{place.name}-file", quantisation=quantisation)
        path = tmp_path / f"{place.name}-file/model.gguf"
        fetch.fetch(f"gguf:{path}", None, "float32", tmp_path / f"{place.name}-read")
        read, meant, was = (
            load.causal_lm(where, torch.float32, CPU).state_dict()
            for where in (tmp_path / f"{place.name}-read", place, tmp_path / "start")
        )
        lost = sum((read[n] - meant[n]).square().sum() for n in meant)
        out[kind["kind"]] = lost / sum((was[n] - meant[n]).square().sum() for n in meant)
    assert out["vectors"] < 0.01
    assert out["lora"] > 10 * out["vectors"]


@pytest.mark.parametrize("kind", [SMALL, DROPS, VECTORS], ids=["lora", "dropout", "vectors"])
def test_a_killed_run_goes_on_to_the_same_bytes(tiny_llama, tmp_path, kind):
    """With dropout too: what a step draws depends on its number alone."""
    recipe = plan(evaluate_every=1, adapter=kind)
    history, whole = run(adapted(tiny_llama, kind=kind), recipe, tmp_path / "whole")
    with pytest.raises(KilledError):
        run(adapted(tiny_llama, kind=kind), recipe, tmp_path / "cut", evaluate=dies(5))
    torch.manual_seed(99)  # another process has drawn otherwise
    again, weights = run(adapted(tiny_llama, kind=kind), recipe, tmp_path / "cut")
    assert again == history
    assert all(torch.equal(weights[name], whole[name]) for name in whole)
    dry, _ = run(
        adapted(tiny_llama, kind=SMALL if kind == DROPS else kind), recipe, tmp_path / "dry"
    )
    assert (dry == history) == (kind != DROPS)


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
    adapter = LowRank.model_construct(r=3, alpha=6.0, dropout=0.0, targets=["q_proj", "qkv_proj"])
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
        ({"kind": "vectors"}, "[Ee]xtra"),  # a rank means nothing to them
        ({"kind": "dora"}, "lora"),
    ],
)
def test_settings_that_mean_nothing_are_refused(changes, named):
    with pytest.raises(ValidationError, match=named):
        schedule(adapter=SMALL | changes)


def test_an_adapter_without_its_kind_is_refused():
    with pytest.raises(ValidationError, match="kind"):
        schedule(adapter={"r": 3, "alpha": 6.0})


def test_fewer_targets_train_fewer_weights(tiny_llama):
    few = adapted(tiny_llama, targets=["q_proj", "v_proj"])
    places = {name.split(".lora_")[0].rsplit(".", 1)[1] for name in checkpoints.trained(few)}
    assert places == {"q_proj", "v_proj"}


def test_the_rule_gives_an_adapter_its_rate_at_every_size():
    recipe = plan(learning_rate=None)
    assert {optimisers.peak_rate(recipe, n) for n in (10**6, 10**9)} == {1e-4}
