"""Types under a budget: the cheapest that fit, by costs that are the model's own."""

import itertools
import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from potstill import files
from potstill.compress import gptq, layers, mixed
from potstill.compress import importance as method
from potstill.compress.recipe import Compression
from potstill.compress.work import Work
from potstill.errors import InputError
from potstill.export import build
from potstill.hints import blocks, tensor_types
from potstill.loading import load
from potstill.models import checkpoint
from potstill.models.gguf_header import read_header
from potstill.students import rounding
from potstill.tokens import packing
from torch.nn import functional

from tests.compress.test_importance import ROWS
from tests.tiny_models import CASES

CPU = torch.device("cpu")
TYPES = ["Q4_0", "IQ4_NL", "Q5_0", "Q8_0", "Q4_K", "Q6_K"]
COMMON = {"checkpoint": "c", "calibration_rows": 6, "batch_rows": 4, "threads": 2, "seed": 0}


@given(
    matrices=st.lists(
        st.dictionaries(
            st.sampled_from("abc"),
            st.tuples(st.integers(0, 50), st.integers(1, 30)),
            min_size=1,
        ),
        min_size=1,
        max_size=5,
    ),
    share=st.floats(0, 1),
)
def test_the_choice_is_the_cheapest_that_fits(matrices, share):
    """Against all that there are."""
    costs = {
        str(n): {kind: cost for kind, (cost, _) in one.items()} for n, one in enumerate(matrices)
    }
    sizes = {
        str(n): {kind: size for kind, (_, size) in one.items()} for n, one in enumerate(matrices)
    }
    least, most = (sum(pick(one.values()) for one in sizes.values()) for pick in (min, max))
    room = round(least + share * (most - least))
    chosen = mixed.best(costs, sizes, room)
    assert sum(sizes[name][kind] for name, kind in chosen.items()) <= room
    options = [
        sum(costs[str(n)][kind] for n, kind in enumerate(kinds))
        for kinds in itertools.product(*matrices)
        if sum(sizes[str(n)][kind] for n, kind in enumerate(kinds)) <= room
    ]
    found = sum(costs[name][kind] for name, kind in chosen.items())
    assert found == pytest.approx(min(options), rel=1e-3)


@pytest.mark.parametrize("family", CASES)
def test_costs_are_those_of_the_whole_model(family, tiny_checkpoint):
    """Each matrix rounded in a model that reads its rows one by one from their ids; of the finer
    type it is foreseen by its errors."""
    model = load.causal_lm(tiny_checkpoint(family), torch.float32, CPU)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    weights = {n: w for n, w in model.named_parameters() if w.ndim == 2}
    kinds = {name: mixed.fitting(w.shape, ["Q4_0", "Q8_0"]) for name, w in weights.items()}
    packs = [packing.pack(ROWS[:2]), packing.pack(ROWS[2:])]
    costs = mixed.measured(model, packs, kinds, {})

    def log_probs():
        with torch.no_grad():
            parts = [model(torch.tensor([row.ids])).logits[0, 2:-1] for row in ROWS]
        return functional.log_softmax(torch.cat(parts), -1)

    whole = log_probs()
    for name, some in kinds.items():
        for kind in some:
            rounded = rounding.round_trip(before[name].numpy(), kind)
            with torch.no_grad():
                weights[name].copy_(torch.from_numpy(rounded))
            want = functional.kl_div(log_probs(), whole, log_target=True, reduction="sum") / len(
                whole
            )
            coarse = {"rel": 1e-3} if kind == some[0] else {"rel": 0.7}
            assert costs[name][kind] == pytest.approx(want.item(), abs=2e-7, **coarse), (name, kind)
            with torch.no_grad():
                weights[name].copy_(before[name])
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(one["Q4_0"] > one["Q8_0"] for one in costs.values() if len(one) == 2)


def test_costs_are_of_the_codes_that_follow(tiny_checkpoint):
    """Of GPTQ's codes in the model as it was, where a type has codes; the model is whole again."""
    model = load.causal_lm(tiny_checkpoint("qwen2"), torch.float32, CPU)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    kinds = {n: ["Q4_0", "Q8_0"] for n, w in model.named_parameters() if w.ndim == 2}
    packs = [packing.pack(ROWS)]
    known = method.measure(model, packs)
    costs = mixed.measured(model, packs, kinds, known, layers.products(model, packs))
    nearest = mixed.measured(model, packs, kinds, known)
    assert costs["model.embed_tokens.weight"] == nearest["model.embed_tokens.weight"]
    inside = [name for name in costs if ".layers." in name]
    assert sum(costs[n]["Q4_0"] for n in inside) < 0.7 * sum(nearest[n]["Q4_0"] for n in inside)
    name = "model.layers.1.mlp.down_proj.weight"
    with torch.inference_mode():
        for matrices, product in layers.products(model, packs):
            if name in matrices:
                weight, held = (
                    matrices[name],
                    gptq.blocks_of(matrices[name], product, "Q4_0", known[name])[1],
                )
                break
        whole = [packs[0].predicting(model.model(**packs[0].inputs).last_hidden_state)]
        weight.copy_(torch.from_numpy(blocks.values(held, "Q4_0")))
        whole.append(packs[0].predicting(model.model(**packs[0].inputs).last_hidden_state))
        was, now = (functional.log_softmax(model.lm_head(state), -1) for state in whole)
        want = functional.kl_div(now, was, log_target=True, reduction="sum") / len(was)
        weight.copy_(before[name])
    assert costs[name]["Q4_0"] == pytest.approx(want.item(), rel=1e-3)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.fixture
def work(tiny_checkpoint, tokens, tmp_path):
    """Return a function that chooses for a tiny model under a budget."""

    def make(num_bytes, family="llama"):
        method = {"kind": "mixed", "bytes": num_bytes, "types": TYPES, "codes": "nearest"}
        out = tmp_path / f"out-{num_bytes}"
        (tmp_path / "scratch").mkdir(exist_ok=True)
        recipe = Compression(**COMMON, method=method)
        return Work(recipe, tiny_checkpoint(family), tokens, out, tmp_path / "scratch")

    return make


def test_the_file_has_these_types_and_fits(work, tiny_gguf, tmp_path):
    smaller, larger = (
        (tiny_gguf("llama", q) / "model.gguf").stat().st_size for q in ("q4_0", "q8_0")
    )
    losses = []
    for share in (0.2, 0.5, 0.9):
        made = work(round(smaller + share * (larger - smaller)) + 2048)
        metrics = mixed.compress(made)
        described = build.build(
            made.out, tmp_path / f"a{share}", format="gguf", quantisation="stated"
        )
        path = tmp_path / f"a{share}/model.gguf"
        assert 0 <= metrics["predicted_bytes"] - path.stat().st_size <= 2048
        assert metrics["predicted_bytes"] <= metrics["budget_bytes"]
        stated = tensor_types.read(made.out)
        stored = {t.name: t.type.name for t in read_header(path).tensors}
        assert set(stated.values()) <= set(described["tensor_types"])
        assert stored["token_embd.weight"] == stated["model.embed_tokens.weight"]
        losses.append(metrics["together_kl_nats"])
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > 2 * losses[-1]


def test_a_budget_that_nothing_meets_names_the_smallest(work):
    with pytest.raises(InputError, match=r"method\.bytes is 1,000: the smallest file .* has \d"):
        mixed.compress(work(1000))


@pytest.mark.parametrize(
    ("types", "named"), [(None, "says nothing"), ({"a.weight": "Q4_0"}, "make it again")]
)
def test_types_of_no_or_another_checkpoint_are_refused(types, named, tiny_llama, tmp_path):
    folder = shutil.copytree(tiny_llama, tmp_path / "m")
    if types:
        files.write_json(folder / tensor_types.NAME, types)
    with pytest.raises(InputError, match=named):
        build.build(folder, tmp_path / "a", format="gguf", quantisation="stated")
    assert checkpoint.count_parameters(folder)
