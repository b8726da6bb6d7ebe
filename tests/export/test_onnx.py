"""ONNX artefacts against transformers: logits, cache, bytes; tiny models and the real teacher."""

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from potstill import files, int8, runtime
from potstill.errors import InputError
from potstill.export import build
from potstill.loading import load
from potstill.models import checkpoint, families
from potstill.runtime import Request, artifact

from tests.tiny_models import CASES

INTEGERS = ("int8", "int8_channel")
IDS = [3, 77, 12, 401, 9, 9, 250, 31, 8]


def made(folder, out, quantisation):
    build.build(folder, out, format="onnx", quantisation=quantisation)
    return out


@pytest.fixture(scope="module", params=list(CASES))
def family(request, tiny_checkpoint, tmp_path_factory):
    folder = tiny_checkpoint(request.param)
    out = tmp_path_factory.mktemp(f"onnx_{request.param}")
    return folder, {q: made(folder, out / q, q) for q in ("fp32", *INTEGERS)}


def opened(artefact):
    return runtime.load(artefact, threads=2, context=128)


def test_float_logits_equal_transformers(family):
    folder, artefacts = family
    want = load.ReferenceModel(folder, 2).logits(IDS)
    got = opened(artefacts["fp32"]).logits(IDS)
    assert got.shape == want.shape
    assert np.abs(got - want).max() < 1e-4


@pytest.mark.parametrize("quantisation", INTEGERS)
def test_integer_logits_are_close(family, quantisation):
    folder, artefacts = family
    want = load.ReferenceModel(folder, 2).logits(IDS)
    got = opened(artefacts[quantisation]).logits(IDS)
    assert np.corrcoef(got.ravel(), want.ravel())[0, 1] > 0.999


@pytest.mark.parametrize("quantisation", ["fp32", *INTEGERS])
def test_streaming_equals_the_argmax_of_logits(family, quantisation):
    model = opened(family[1][quantisation])
    made = [c.id for c in model.stream(Request(IDS, 6)) if c.id is not None]
    rows = model.logits([*IDS, *made])[len(IDS) - 1 :]
    for token, row in zip(made, rows, strict=False):
        # int8 quantises activations per call, so a near tie may fall the other way
        assert row[token] >= row.max() - (1e-3 if quantisation == "fp32" else 0.5)
    assert model.generate([Request(IDS, 6), Request(IDS[:3], 6)])[0].ids == made


def test_a_tied_matrix_is_stored_once_and_an_untied_one_too(family):
    folder, artefacts = family
    tied = families.is_tied(checkpoint.read_config(folder))
    for artefact in artefacts.values():
        model = onnx.load(str(artefact / "model.onnx"))
        vocab = artifact.read(artefact)["vocab_size"]
        large = [t.name for t in model.graph.initializer if math.prod(t.dims) > 8 * vocab]
        assert len([name for name in large if name.startswith("head")]) == 1
        assert len([name for name in large if "embed" in name]) == (0 if tied else 1)


def test_a_model_of_one_scale_a_channel_loses_by_its_activations_alone(tiny_llama, tmp_path):
    """Its float weights are those of the file: logits are nearer than those before rounding."""
    model = load.causal_lm(tiny_llama, torch.float32, torch.device("cpu"))
    plain = load.ReferenceModel(tiny_llama, 2).logits(IDS)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.Linear):
                module.weight.copy_(int8.rounded(module.weight))
        want = model(torch.tensor([IDS])).logits[0].numpy()
    got = opened(made(tiny_llama, tmp_path / "a", "int8_channel")).logits(IDS)
    assert np.abs(got - want).mean() < 0.8 * np.abs(got - plain).mean()


def test_a_bfloat16_checkpoint_is_exported_in_float32(tiny_llama, tmp_path):
    state = {k: w.bfloat16() for k, w in checkpoint.read_state(tiny_llama).items()}
    config = {**checkpoint.read_config(tiny_llama), "dtype": "bfloat16"}
    checkpoint.write(tmp_path / "c", state, config, beside=tiny_llama)
    got = opened(made(tmp_path / "c", tmp_path / "a", "fp32")).logits(IDS)
    want = load.ReferenceModel(tmp_path / "c", 2).logits(IDS)
    assert np.abs(got - want).max() < 1e-4


def test_integers_are_smaller_and_the_checker_agrees(family):
    sizes = {q: (a / "model.onnx").stat().st_size for q, a in family[1].items()}
    assert sizes["int8"] == sizes["int8_channel"] < 0.6 * sizes["fp32"]


@pytest.mark.parametrize("quantisation", INTEGERS)
def test_the_same_checkpoint_gives_the_same_bytes(tiny_llama, tmp_path, quantisation):
    first, second = (made(tiny_llama, tmp_path / name, quantisation) for name in "ab")
    assert files.sha256_tree(first) == files.sha256_tree(second)


def test_bad_ids_and_a_full_context_are_refused(family):
    model = opened(family[1]["fp32"])
    for ids, message in (([], "no ids"), ([10**6], "outside the vocabulary"), ([1] * 129, "fit")):
        with pytest.raises(InputError, match=message):
            model.logits(ids)
    assert len(model.generate([Request([1] * 127, 50)])[0].ids) <= 1


def test_a_damaged_file_is_named(tiny_llama, tmp_path):
    from potstill.runtime import onnx_runtime

    artefact = made(tiny_llama, tmp_path / "a", "fp32")
    path = artefact / "model.onnx"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"model\.onnx"):
        runtime.load(artefact)
    with pytest.raises(InputError, match="cannot be loaded"):
        onnx_runtime.load(artefact, threads=1, context=64)


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("quantisation", INTEGERS)
def test_the_real_teacher_in_integers_agrees_with_itself_in_float(smollm2, tmp_path, quantisation):
    artefact = made(smollm2, tmp_path / "int8", quantisation)
    model, reference = opened(artefact), load.ReferenceModel(smollm2, 2).logits
    ids = model.tokenize(Path(files.__file__).read_text()[:600])[:120]
    got, want = (torch.from_numpy(f(ids)).log_softmax(-1) for f in (model.logits, reference))
    kl = torch.nn.functional.kl_div(got, want, log_target=True, reduction="sum") / len(ids)
    assert kl < 0.02
    assert (got.argmax(1) == want.argmax(1)).float().mean() > 0.9
    assert (artefact / "model.onnx").stat().st_size < 170e6
