"""GGUF export against transformers as the oracle; quality on real weights is in test_gguf_real."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from potstill import runtime
from potstill.errors import InputError
from potstill.export import gguf
from potstill.models import gguf_header
from potstill.models.chat import ChatTokenizer
from potstill.runtime import artifact
from transformers import AutoModelForCausalLM

FAMILIES = ["llama", "qwen2"]
TEXTS = [
    "", " ", "  ", "\n", "\n\n\n", "\t", "\r\n", " \n \t x", "a", " a", "  a", "a  ", "def f(x):\n",
    "    return x\n\n\n", "\treturn x", "x=1234567890", "1 23 456", "3.14e-10", "don't we'LL I'M",
    "naïve café", "日本語のテキスト", "Привет, мир", "مرحبا", "🙂", "👩‍👩‍👧‍👦 🇨🇭",
    "a\u00a0b\u2003c\u200b",
    "½ ² Ⅳ ٣", "\x00\x01\x7f", "\ufeffbom", "\U0010ffff", "<|im_end|>", "a<|im_start|>b",
    "<|im_start|>user\nhi <|im_end|> \n<|im_start|>assistant\n", "<|im_start",
    "<|endoftext|><|im_end|>",
    "if (a&&b||!c){x+=1;}//\"'`", "__init__ _ __", "ǅ ß ﬁ İ", "a\u3000b", "'s 'S 't", "\\n\\t",
    "\v\f\x85\u2028",
]  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_llama_cpp_tokenizes_as_the_checkpoint_does(family, tiny_gguf, tiny_checkpoint):
    chat = ChatTokenizer(tiny_checkpoint(family))
    loaded = runtime.load(tiny_gguf(family, "f16"))
    wrong = [text for text in TEXTS if loaded.tokenize(text) != chat.encode(text)]
    loaded.close()
    assert not wrong


def test_decomposed_accents_are_the_one_known_difference(tiny_gguf, tiny_qwen2):
    chat, text = ChatTokenizer(tiny_qwen2), "caf" + "e\u0301"
    loaded = runtime.load(tiny_gguf("qwen2", "f16"))
    found, composed = loaded.tokenize(text), loaded.tokenize("caf\u00e9")
    loaded.close()
    assert found != chat.encode(text)  # llama.cpp does not normalise
    assert composed == chat.encode(text)


@pytest.mark.parametrize("family", FAMILIES)
def test_f16_logits_are_those_of_transformers(family, tiny_gguf, tiny_checkpoint):
    reference = AutoModelForCausalLM.from_pretrained(tiny_checkpoint(family), dtype=torch.float32)
    ids = [int(i) for i in np.random.default_rng(0).integers(0, 500, 61)]
    with torch.no_grad():
        expected = reference(torch.tensor([ids])).logits[0].numpy()
    loaded = runtime.load(tiny_gguf(family, "f16"))
    found = loaded.logits(ids)
    loaded.close()
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 0.03  # of a standard deviation of 1
    best = np.sort(expected, axis=1)
    clear = best[:, -1] - best[:, -2] > 0.06
    assert clear.sum() > 30
    assert (found.argmax(1) == expected.argmax(1))[clear].all()


def dequantised(folder, model):
    """Return the weights of an artefact under transformers' names and in its row order."""
    from gguf import MODEL_ARCH, GGUFReader, get_tensor_name_map, quants

    stored = {tensor.name: tensor for tensor in GGUFReader(folder / "model.gguf").tensors}
    config = model.config
    names = get_tensor_name_map(MODEL_ARCH[config.model_type.upper()], config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    state = {}
    for name, weight in model.named_parameters():
        tensor = stored[names.get_name(name, try_suffixes=(".weight", ".bias"))]
        values = quants.dequantize(tensor.data, tensor.tensor_type).reshape(weight.shape)
        count = heads.get(name.split(".")[-2])
        if count and config.model_type == "llama":  # undo the order of pairs
            pairs = values.reshape(count, -1, 2, *values.shape[1:])
            values = pairs.swapaxes(1, 2).reshape(weight.shape)
        state[name] = torch.from_numpy(np.array(values))
    return state


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("quantisation", ["q8_0", "q4_k_m", "q4_0"])
def test_quantised_logits_are_those_of_the_weights_that_are_stored(
    family, quantisation, tiny_gguf, tiny_checkpoint
):
    reference = AutoModelForCausalLM.from_pretrained(tiny_checkpoint(family), dtype=torch.float32)
    ids = list(range(5, 66))
    with torch.no_grad():
        original = reference(torch.tensor([ids])).logits[0].numpy()
        folder = tiny_gguf(family, quantisation)
        reference.load_state_dict(dequantised(folder, reference), strict=False)
        expected = reference(torch.tensor([ids])).logits[0].numpy()
    loaded = runtime.load(folder)
    found = loaded.logits(ids)
    loaded.close()
    # llama.cpp rounds activations too, to 8 bits in blocks.
    assert np.abs(found - expected).mean() < 0.05
    assert np.abs(original - expected).mean() > 0.005  # the weights were indeed rounded


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tied_head_is_stored_once_and_norms_stay_float32(family, tiny_gguf):
    tensors = gguf_header.read_header(tiny_gguf(family, "f16") / "model.gguf").tensors
    assert "output.weight" not in {tensor.name for tensor in tensors}
    kinds = {(len(t.shape), t.type.name) for t in tensors}
    assert kinds == {(1, "F32"), (2, "F16")}


def test_types_that_rows_do_not_fit_are_reported(tiny_gguf):
    for quantisation, count in (("q8_0", 15), ("q4_0", 14)):
        folder = tiny_gguf("llama", quantisation)
        description = artifact.read(folder)
        assert description["tensor_types"] == gguf.tensor_types(folder / "model.gguf")
        assert description["tensor_types"][quantisation.upper()] == count
        assert description["token_embedding_type"] == "Q8_0"
    mixed = artifact.read(tiny_gguf("llama", "q4_k_m"))["tensor_types"]
    assert "Q4_K" not in mixed  # width 64 is not a multiple of 256
    assert mixed["Q5_0"] > 0
    own = artifact.read(tiny_gguf("llama", "q4_k_m_head_q5_0"))
    assert own["token_embedding_type"] == "Q5_0"
    assert own["tensor_types"] == mixed | {"Q8_0": mixed["Q8_0"] - 1, "Q5_0": mixed["Q5_0"] + 1}


def test_quantised_weights_are_smaller(tiny_gguf):
    sizes = {
        q: sum(
            t.num_bytes
            for t in gguf_header.read_header(tiny_gguf("llama", q) / "model.gguf").tensors
        )
        for q in gguf.STOCK
    }
    assert list(sizes.values()) == sorted(sizes.values(), reverse=True)
    assert sizes["bf16"] == sizes["f16"]
    assert sizes["q8_0"] < sizes["f16"] * 34 / 64 * 1.05  # 34 bytes instead of 64 for 32 weights


def test_export_is_the_same_bytes_twice(tiny_gguf, tiny_llama, tmp_path):
    gguf.export(tiny_llama, tmp_path, quantisation="q4_k_m")
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]
    first = tiny_gguf("llama", "q4_k_m") / "model.gguf"
    assert (tmp_path / "model.gguf").read_bytes() == first.read_bytes()


@pytest.fixture
def changed(tiny_llama, tmp_path):
    """Return a function that copies the tiny checkpoint with one JSON file changed."""

    def change(name, update):
        folder = tmp_path / "changed"
        shutil.copytree(tiny_llama, folder)
        content = json.loads((folder / name).read_text())
        update(content)
        (folder / name).write_text(json.dumps(content))
        return folder

    return change


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("architectures", ["GptNeverForCausalLM"], "architectures is .*GptNever"),
        ("hidden_act", "gelu", "hidden_act is 'gelu'"),
        ("rope_parameters", {"rope_type": "yarn", "rope_theta": 1e4}, "rope_type is 'yarn'"),
        ("vocab_size", 7, "not of one model"),
    ],
)
def test_a_model_that_would_run_differently_is_refused(changed, tmp_path, key, value, reason):
    folder = changed("config.json", lambda config: config.update({key: value}))
    with pytest.raises(InputError, match=reason):
        gguf.export(folder, tmp_path, quantisation="f16")


def test_an_architecture_that_nobody_knows_is_refused_by_name(changed, tmp_path):
    folder = changed(
        "config.json", lambda c: c.update(model_type="never", architectures=["NeverForCausalLM"])
    )
    with pytest.raises(InputError, match=r"architecture NeverForCausalLM .* is none of the"):
        gguf.export(folder, tmp_path, quantisation="f16")


def test_a_pre_tokenizer_that_nobody_knows_is_refused(changed, tmp_path):
    def without_digits(tokenizer):
        tokenizer["pre_tokenizer"]["pretokenizers"].pop(0)

    folder = changed("tokenizer.json", without_digits)
    with pytest.raises(InputError, match="BPE pre-tokenizer was not recognized"):
        gguf.export(folder, tmp_path, quantisation="f16")
    assert not (tmp_path / "model.gguf").exists()


def test_options_that_do_not_go_with_the_name_are_refused(changed, tmp_path):
    folder = changed("tokenizer.json", lambda t: t["model"].update(ignore_merges=True))
    with pytest.raises(InputError, match=r"pre-tokenizer smollm with .*ignore_merges"):
        gguf.export(folder, tmp_path, quantisation="f16")


def test_variants_of_one_checkpoint_share_one_conversion(tiny_llama, tmp_path):
    Path(".potstill").mkdir()
    fresh = {}
    for quantisation in ("f16", "q8_0"):
        out = tmp_path / quantisation
        out.mkdir()
        gguf.export(tiny_llama, out, quantisation=quantisation)
        fresh[quantisation] = (out / "model.gguf").read_bytes()
    (kept,) = Path(".potstill/gguf").iterdir()
    assert kept.read_bytes() == fresh["f16"]
    made = kept.stat().st_ino
    # the artefact is a file of its own: whoever writes into it leaves the kept one alone
    assert (tmp_path / "f16" / "model.gguf").stat().st_ino != made
    assert kept.stat().st_nlink == 1
    (tmp_path / "again").mkdir()
    gguf.export(tiny_llama, tmp_path / "again", quantisation="q8_0")
    assert (tmp_path / "again" / "model.gguf").read_bytes() == fresh["q8_0"]
    assert kept.stat().st_ino == made
    damaged = bytearray(fresh["f16"])
    damaged[-9] ^= 1
    kept.chmod(0o600)
    kept.write_bytes(damaged)  # by a disk, or a hand: it is made again, not passed on
    (tmp_path / "mended").mkdir()
    gguf.export(tiny_llama, tmp_path / "mended", quantisation="f16")
    assert (tmp_path / "mended" / "model.gguf").read_bytes() == fresh["f16"]
    other = tmp_path / "other"
    shutil.copytree(tiny_llama, other)
    (other / "chat_template.jinja").write_text("{{ messages }}")
    (tmp_path / "third").mkdir()
    gguf.export(other, tmp_path / "third", quantisation="f16")
    (only,) = Path(".potstill/gguf").iterdir()
    assert only != kept


def test_a_damaged_weight_is_named(tiny_llama, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "damaged"
    shutil.copytree(tiny_llama, folder)
    state = load_file(folder / "model.safetensors")
    state["model.layers.1.mlp.up_proj.weight"][3, 5] = 1e6  # infinite as float16
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"blk\.1\.ffn_up\.weight.*not finite"):
        gguf.export(folder, tmp_path, quantisation="f16")
