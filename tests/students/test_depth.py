"""Removing layers: the right one goes, and the checkpoint equals the model without it."""

import torch
from potstill.loading import load
from potstill.models import checkpoint
from potstill.students import depth
from potstill.tokens import packing
from potstill.tokens.examples import Example

CPU = torch.device("cpu")


def example(ids, start, group):
    return Example(tuple(ids), ((start, len(ids), 1.0),), group)


ROWS = [example(tuple((11 * i + j * j) % 400 for j in range(12)), 3, "g") for i in range(4)]
BATCHES = [packing.pack(ROWS)]


def four_layers(tiny_llama, out):
    """Return a checkpoint of four layers; layer 1 adds nothing at all."""
    state, config = checkpoint.read_state(tiny_llama), checkpoint.read_config(tiny_llama)
    grown = {}
    for name, tensor in state.items():
        if name.startswith("model.layers."):
            _, _, index, rest = name.split(".", 3)
            for copy in (0, 2):
                grown[f"model.layers.{int(index) + copy}.{rest}"] = tensor * (1 + 0.1 * copy)
        else:
            grown[name] = tensor
    for part in ("self_attn.o_proj", "mlp.down_proj"):
        grown[f"model.layers.1.{part}.weight"] = torch.zeros_like(
            grown[f"model.layers.1.{part}.weight"]
        )
    checkpoint.write(out, grown, {**config, "num_hidden_layers": 4}, beside=tiny_llama)
    return out


def test_a_layer_that_adds_nothing_has_no_influence_and_goes_first(tiny_llama, tmp_path):
    model = load.causal_lm(four_layers(tiny_llama, tmp_path / "m"), torch.float32, CPU)
    influence = depth.block_influence(model, BATCHES[0])
    assert len(influence) == 4
    assert abs(influence[1]) < 1e-6 < min(influence[0], influence[2])
    kept, before, after = depth.choose_layers(model, BATCHES, keep=3, candidates=1)
    assert kept == [0, 2, 3]
    assert abs(after - before) < 1e-5
    assert len(model.model.layers) == 4


def test_among_the_candidates_the_one_that_costs_least_goes(tiny_llama, tmp_path):
    model = load.causal_lm(four_layers(tiny_llama, tmp_path / "m"), torch.float32, CPU)
    whole = model.model.layers
    costs = {}
    for index in (1, 2):
        model.model.layers = torch.nn.ModuleList(whole[i] for i in range(4) if i != index)
        costs[index] = depth.mean_nll(model, BATCHES)
    model.model.layers = whole
    kept, _, after = depth.choose_layers(model, BATCHES, keep=3, candidates=9)
    assert {1, 2} - set(kept) == {min(costs, key=costs.get)}
    assert after == min(costs.values())


def test_the_written_student_is_the_model_without_the_layer(tiny_llama, tmp_path):
    folder = four_layers(tiny_llama, tmp_path / "m")
    whole = load.causal_lm(folder, torch.float32, CPU)
    state, config = depth.keep_layers(
        checkpoint.read_state(folder), checkpoint.read_config(folder), [0, 2, 3]
    )
    checkpoint.write(tmp_path / "s", state, config, beside=folder)
    student = load.causal_lm(tmp_path / "s", torch.float32, CPU)
    assert abs(depth.mean_nll(student, BATCHES) - depth.mean_nll(whole, BATCHES)) < 1e-4
    assert student.config.num_hidden_layers == 3


def test_mean_nll_counts_only_answer_tokens(tiny_llama):
    model = load.causal_lm(tiny_llama, torch.float32, CPU)
    ids = torch.tensor([row.ids for row in ROWS])
    with torch.inference_mode():
        log_probs = torch.log_softmax(model(ids).logits, -1)
    terms = [
        -log_probs[b, t - 1, ids[b, t]].item()
        for b, row in enumerate(ROWS)
        for start, end, _ in row.spans
        for t in range(start, end)
    ]
    assert abs(depth.mean_nll(model, BATCHES) - sum(terms) / len(terms)) < 1e-4
