"""The importance matrix is what the checkpoint computes, and llama.cpp rounds by it."""

import shutil

import numpy as np
import pytest
import torch
from potstill.compress import importance as method
from potstill.errors import InputError
from potstill.export import build, gguf
from potstill.hints import importance
from potstill.loading import load
from potstill.models import checkpoint, families
from potstill.students import rounding, sizes
from potstill.tokens import packing
from potstill.tokens.examples import Example

from tests import gguf_files
from tests.tiny_models import CASES

CPU = torch.device("cpu")
ROWS = [
    Example(tuple((11 * i + j * j) % 400 for j in range(12)), ((3, 12, 1.0),), "g")
    for i in range(4)
]
QUANTISED = [q for q in gguf.STOCK if q not in gguf.PLAIN]


@pytest.fixture
def known(tiny_checkpoint, tmp_path):
    """Return a function case -> a checkpoint with its importance matrix beside it."""

    def get(family):
        folder = tmp_path / family
        shutil.copytree(tiny_checkpoint(family), folder)
        model = load.causal_lm(folder, torch.float32, CPU)
        importance.write(folder, method.measure(model, [packing.pack(ROWS)]))
        return folder

    return get


@pytest.mark.parametrize("family", CASES)
def test_every_matrix_has_the_mean_square_of_what_it_multiplies(family, known, tiny_checkpoint):
    """By hand: one row at a time, the inputs as the modules see them."""
    found = importance.read(known(family))
    model = load.causal_lm(tiny_checkpoint(family), torch.float32, CPU)
    seen = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(
                lambda _, x, name=name: seen.setdefault(name, []).append(x[0][0].double())
            )
    with torch.no_grad():
        for row in ROWS:
            model(torch.tensor([row.ids]))
    tied = families.is_tied(checkpoint.read_config(tiny_checkpoint(family)))
    head = [part[2:11] for part in seen.pop("lm_head")]  # reads what predicts answers
    seen["model.embed_tokens" if tied else "lm_head"] = head
    for name, parts in seen.items():
        want = torch.cat(parts).square().mean(0)
        np.testing.assert_allclose(found.pop(f"{name}.weight"), want, rtol=1e-4)
    assert found == {}


@pytest.mark.slow
@pytest.mark.parametrize("quantisation", QUANTISED)
@pytest.mark.parametrize("family", CASES)
def test_the_file_is_rounded_by_it(family, quantisation, known, tmp_path):
    """Each tensor is what ggml makes of it with these numbers; types and size are foreseen."""
    folder = known(family)
    made = build.build(folder, tmp_path / "a", format="gguf", quantisation=quantisation)
    matrices = [name for name, shape in checkpoint.shapes(folder).items() if len(shape) == 2]
    looked_up = "lm_head.weight" in matrices  # an embedding of its own multiplies nothing
    assert made["importance"] == len(matrices) - looked_up
    config, model = checkpoint.read_config(folder), load.trainable(folder, CPU)
    stored = gguf_files.stored(tmp_path / "a/model.gguf", config)
    with rounding.rounded(model, quantisation, importance.read(folder)):
        for name, tensor in model.named_parameters():
            np.testing.assert_array_equal(tensor.detach().numpy(), stored[name][1], err_msg=name)
    vocabulary = sizes.vocabulary_bytes(folder, config["vocab_size"])
    foreseen = sizes.file_bytes(config, quantisation, vocabulary, important=True)
    assert 0 <= foreseen - (tmp_path / "a/model.gguf").stat().st_size <= 2048


def test_what_is_used_most_is_rounded_best(tiny_llama, tmp_path):
    """One input of a matrix counts for all: its column loses less than without."""
    folder = shutil.copytree(tiny_llama, tmp_path / "m")
    name = "model.layers.0.mlp.gate_proj.weight"
    weight = checkpoint.read_state(folder)[name].float().numpy()
    for column in (0, 5):
        much = np.full(weight.shape[1], 1e-3, np.float32)
        much[column] = 1e3
        plain, better = (rounding.round_trip(weight, "Q4_0", x) for x in (None, much))
        errors = [np.square(x - weight)[:, column].mean() for x in (plain, better)]
        assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize("harm", ["cut", "name", "length", "negative", "nan"])
def test_what_is_not_of_the_checkpoint_is_refused(harm, known, tmp_path):
    folder = known("llama")
    found, path = importance.read(folder), folder / importance.NAME
    name = next(iter(found))
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    else:
        values = found.pop(name)
        changed = {
            "name": {"no.weight": values},
            "length": {name: values[1:]},
            "negative": {name: -values - 1},
            "nan": {name: values * np.float32("nan")},
        }[harm]
        importance.write(folder, found | changed)
    with pytest.raises(InputError, match=r"make (it|the checkpoint) again"):
        build.build(folder, tmp_path / "a", format="gguf", quantisation="q4_0")
    assert not (tmp_path / "a/artifact.json").exists()
