"""Artefacts of compressed-tensors: what transformers loads, in our runtime and by itself.

Not tested: vLLM, which needs a GPU.
"""

import json
import shutil
import warnings

import numpy as np
import pytest
import torch
from potstill import files, runtime
from potstill.errors import InputError
from potstill.export import build
from potstill.hints import packed
from potstill.loading import load
from potstill.models import checkpoint, families
from potstill.models.chat import ChatTokenizer
from potstill.runtime import Request, transformers_runtime
from safetensors.torch import load_file, save_file

from tests.tiny_models import CASES

IDS = [3, 77, 12, 401, 9, 9, 250, 31, 8]
SCHEMES = ("gptq_w4a16", "smoothquant_w8a8")
DOWN = "model.layers.0.mlp.down_proj.weight"


def export(folder, out):
    build.build(folder, out, format="compressed_tensors", quantisation="stated")
    return out


@pytest.fixture(scope="module")
def artefact(tiny_packed, tmp_path_factory):
    """Return a function (family, scheme) -> artefact, made once."""
    made = {}

    def get(family, scheme):
        if (family, scheme) not in made:
            out = tmp_path_factory.mktemp("a") / "artefact"
            made[family, scheme] = export(tiny_packed(family, scheme), out)
        return made[family, scheme]

    return get


def opened(folder):
    return runtime.load(folder, threads=2, context=128)


def loaded_by_transformers(folder):
    from transformers import AutoModelForCausalLM

    with torch.inference_mode():
        model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
        return model(torch.tensor([IDS])).logits[0].numpy()


MANY = [pytest.param(f, s, marks=pytest.mark.slow) for f in CASES for s in SCHEMES if f != "llama"]


@pytest.mark.parametrize(("family", "scheme"), [*(("llama", s) for s in SCHEMES), *MANY])
def test_the_runtime_computes_what_transformers_does_by_itself(family, scheme, artefact):
    folder = artefact(family, scheme)
    model = opened(folder)
    got = model.logits(IDS)
    assert np.abs(got - loaded_by_transformers(folder)).max() < 1e-5
    made = model.generate([Request(IDS, 6)])[0].ids  # with a cache, an id at a time
    for token, row in zip(made, model.logits([*IDS, *made])[len(IDS) - 1 :], strict=False):
        assert row[token] >= row.max() - 1e-3
    model.close()


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_weights_of_4_bits_compute_what_the_checkpoint_does(family, artefact, tiny_packed):
    want = load.ReferenceModel(tiny_packed(family, "gptq_w4a16"), 2).logits(IDS)
    got = opened(artefact(family, "gptq_w4a16")).logits(IDS)
    assert np.abs(got - want).max() < 1e-5


def test_inputs_of_8_bits_are_rounded_when_it_runs(artefact, tiny_packed):
    """The first matrix reads a row of numbers, each a multiple of its largest over 127.5."""
    want = load.ReferenceModel(tiny_packed("llama", "smoothquant_w8a8"), 2).logits(IDS)
    model = opened(artefact("llama", "smoothquant_w8a8"))
    got = model.logits(IDS)
    assert 1e-3 < np.abs(got - want).max() < 0.1 * np.abs(want).max()
    matrix = model._model.model.layers[0].self_attn.q_proj
    row = torch.randn(64, generator=torch.Generator().manual_seed(0))
    step = row.abs().max() / 127.5
    want = torch.nn.functional.linear((row / step).round().clamp(-128, 127) * step, matrix.weight)
    with torch.inference_mode():
        assert torch.allclose(matrix(row[None])[0], want, atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "llama2"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_folder_is_one_of_hugging_face(family, scheme, artefact, tiny_packed):
    from transformers import AutoTokenizer, GenerationConfig

    folder, source = artefact(family, scheme), tiny_packed(family, scheme)
    chat = [{"role": "user", "content": "x"}]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    ours = ChatTokenizer(source)
    assert tokenizer(text, add_special_tokens=False).input_ids == ours.encode(text)
    assert GenerationConfig.from_pretrained(folder).eos_token_id == sorted(ours.stop_ids)
    config = checkpoint.read_config(folder)
    assert config.pop("quantization_config")["quant_method"] == "compressed-tensors"
    assert config == checkpoint.read_config(source)
    tied = families.is_tied(config)
    assert ("lm_head.weight" in checkpoint.shapes(folder)) == (not tied)


@pytest.mark.parametrize(("scheme", "bits", "group"), [("gptq_w4a16", 4, 32), ("rtn_w8a8", 8, 0)])
def test_its_bytes_are_those_of_its_integers_and_scales(scheme, bits, group, artefact):
    folder = artefact("llama", scheme)
    said = files.read_json(folder / "artifact.json")["scheme"]
    assert (said["bits"], said["group"]) == (bits, group)
    assert said["activation_bits"] == (8 if bits == 8 else 0)
    total = 0
    for name, shape in families.shapes(checkpoint.read_config(folder)).items():
        size = int(np.prod(shape))
        if len(shape) == 1 or ".layers." not in name:
            total += 4 * size
        elif bits == 4:
            total += size // 2 + 4 * size // group + 16
        else:
            total += size + 4 * shape[0]
    header = 8 + int.from_bytes((folder / "model.safetensors").read_bytes()[:8], "little")
    assert (folder / "model.safetensors").stat().st_size == header + total


def test_a_checkpoint_with_nothing_packed_is_told_what_to_do(tiny_llama, tmp_path):
    with pytest.raises(InputError, match=r"has no folder packed, .* by `compressed` \(method"):
        export(tiny_llama, tmp_path / "a")


@pytest.mark.parametrize("scheme", ["rtn_w4a16", "rtn_w8a8"])
def test_packed_weights_of_another_checkpoint_are_refused(scheme, tiny_packed, tmp_path):
    folder = shutil.copytree(tiny_packed("llama", scheme), tmp_path / "c")
    state = checkpoint.read_state(folder)
    state[DOWN][0, 0] += 1e-6
    checkpoint.write(folder, state, checkpoint.read_config(folder), beside=folder)
    with pytest.raises(InputError, match=r"not of this checkpoint, for one model\.layers\.0\.mlp"):
        export(folder, tmp_path / "a")
    shutil.rmtree(folder / packed.NAME)
    shutil.copytree(tiny_packed("qwen2", scheme) / packed.NAME, folder / packed.NAME)
    with pytest.raises(InputError, match="is not of this checkpoint"):
        export(folder, tmp_path / "a")


def test_a_config_of_another_checkpoint_is_refused(tiny_packed, tmp_path):
    folder = shutil.copytree(tiny_packed("llama", "rtn_w8a8"), tmp_path / "c")
    config = checkpoint.read_config(folder / packed.NAME)
    files.write_json(folder / packed.NAME / "config.json", config | {"rms_norm_eps": 1e-6})
    with pytest.raises(InputError, match=r"not of this checkpoint, for one config\.json"):
        export(folder, tmp_path / "a")


def drop(state):
    del state[f"{DOWN}_scale"]


def halve(state):
    state[f"{DOWN}_scale"] = state[f"{DOWN}_scale"].half()


def lie(state):
    state[f"{DOWN}_shape"] = torch.tensor([64, 2**40])


def add(state):
    state["model.layers.0.mlp.down_proj.bias"] = torch.zeros(64)


def cut(state):
    state[f"{DOWN}_packed"] = state[f"{DOWN}_packed"][:, :-1].contiguous()


@pytest.mark.parametrize(
    ("damage", "named"),
    [(drop, r"weight_scale is missing, F32 \[64, 3\] was"), (halve, "weight_scale is F16"),
     (lie, r"weight_shape says \[64, 1099511627776\], \[64, 96\] fits"),
     (add, r"bias is F32 \[64\], missing was"), (cut, r"weight_packed is I32 \[64, 11\]")],
)  # fmt: skip
def test_tensors_that_do_not_belong_there_are_refused_before_they_are_loaded(
    damage, named, artefact, tiny_packed, tmp_path
):
    copy = shutil.copytree(artefact("llama", "gptq_w4a16"), tmp_path / "a")
    state = load_file(copy / "model.safetensors")
    damage(state)
    (copy / "model.safetensors").unlink()
    save_file(state, copy / "model.safetensors")
    with pytest.raises(InputError, match=named):
        transformers_runtime.load(copy, threads=1, context=64)
    folder = shutil.copytree(tiny_packed("llama", "gptq_w4a16"), tmp_path / "c")
    shutil.rmtree(folder / packed.NAME)
    shutil.copytree(copy, folder / packed.NAME)
    with pytest.raises(InputError, match=named):
        export(folder, tmp_path / "b")


def weights_of(config):
    return config["quantization_config"]["config_groups"]["group_0"]["weights"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda c: c.pop("quantization_config"), "has the format None"),
        (lambda c: c.update(quantization_config=[1]), "has the format None"),
        (lambda c: c["quantization_config"].update(format="marlin-24"), "format 'marlin-24'; pack"),
        (lambda c: c["quantization_config"].update(config_groups=[]), r"\(targets, .*num_bits"),
        (lambda c: c["quantization_config"].update(ignore=[]), r"writes \(ignore\)"),
        (lambda c: c["quantization_config"].update(quant_method="awq"), r"\(quant_method\)"),
        (lambda c: c["quantization_config"]["config_groups"].update(b={}), "several groups"),
        (lambda c: weights_of(c).update(symmetric=False), r"\(symmetric\)"),
        (lambda c: weights_of(c).update(num_bits=True), r"\(num_bits\)"),
        (lambda c: weights_of(c).update(group_size=0), "group_size is 0"),
        (lambda c: weights_of(c).update(group_size="32"), "group_size is '32'"),
        (lambda c: weights_of(c).update(group_size=40), "groups of 40 do not divide"),
        (lambda c: weights_of(c).update(group_size=16), "weight_scale is F32"),
        (lambda c: c.update(num_hidden_layers=1), r"layers\.1\.\S+ is F32 \[64\], missing was"),
        (lambda c: c.update(model_type="gemma"), "supported: llama"),
    ],
)
def test_a_config_that_says_something_else_is_refused(change, named, artefact, tmp_path):
    copy = shutil.copytree(artefact("llama", "gptq_w4a16"), tmp_path / "a")
    config = checkpoint.read_config(copy)
    change(config)
    (copy / "config.json").unlink()
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=named):
        transformers_runtime.load(copy, threads=1, context=64)


def test_a_truncated_file_is_named(artefact, tmp_path):
    copy = shutil.copytree(artefact("llama", "gptq_w4a16"), tmp_path / "a")
    data = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").unlink()
    (copy / "model.safetensors").write_bytes(data[:5000])
    with pytest.raises(InputError, match=r"model\.safetensors has 5000 bytes"):
        runtime.load(copy)
    with pytest.raises(InputError, match=r"model\.safetensors is damaged"):
        transformers_runtime.load(copy, threads=1, context=64)


def test_loading_says_nothing(artefact, capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        opened(artefact("llama", "gptq_w4a16")).close()
    assert capfd.readouterr() == ("", "")
