"""What config.json may say: every family is known, everything else is refused by name.

That the settings are computed rightly is in tests/families and tests/export.
"""

import pytest
import torch
from potstill.errors import InputError
from potstill.models import checkpoint, families, rotary
from transformers import AutoConfig, AutoModelForCausalLM

from tests.tiny_models import CASES

LLAMA3 = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 32.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}  # fmt: skip


@pytest.fixture
def config(tiny_llama):
    return checkpoint.read_config(tiny_llama)


@pytest.mark.parametrize("case", CASES)
def test_the_table_says_what_the_checkpoint_holds(case, tiny_checkpoint):
    folder = tiny_checkpoint(case)
    config = checkpoint.read_config(folder)
    family, shapes = families.check(config, folder), checkpoint.shapes(folder)
    attention = "model.layers.0.self_attn."
    assert (attention + "q_proj.bias" in shapes) == family.qkv_bias
    assert (attention + "k_norm.weight" in shapes) == family.qk_norms
    assert shapes[attention + "k_proj.weight"][0] == families.num_key_heads(
        config
    ) * families.head_dim(config)
    assert ("lm_head.weight" in shapes) != families.is_tied(config)
    modules = {name.rsplit(".", 2)[-2] for name in shapes if name.count(".") > 4}
    assert set(family.lora_targets) <= modules
    assert AutoConfig.from_pretrained(folder).architectures == [family.architecture]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gemma2"}, "model_type is 'gemma2'; supported: llama, mistral, qwen2"),
        ({"model_type": None}, "model_type is None"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'; supported: silu"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"mlp_bias": True}, "mlp_bias is True"),
        ({"num_local_experts": 8}, "num_local_experts is 8"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
        ({"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "is 0.5"),
        ({"quantization_config": {"bits": 4}}, "quantization_config is"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "rope_type is 'yarn'; .* default, llama3"),
        ({"rope_parameters": None, "rope_scaling": {"type": "linear"}}, "rope_type is 'linear'"),
        ({"rope_parameters": {"rope_type": "llama3"}}, "llama3 without factor"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "architectures is"),
        ({"hidden_size": None}, "hidden_size is None"),
        ({"rms_norm_eps": None}, "rms_norm_eps is None; supported: a number from 0"),
        ({"num_key_value_heads": 3}, "num_key_value_heads is 3; supported: a divisor of 4"),
        ({"head_dim": 15}, "head_dim is 15; supported: an even number"),
        ({"head_dim": "16"}, "head_dim is '16'; supported: a whole number"),
        ({"num_key_value_heads": [2, 4]}, r"num_key_value_heads is \[2, 4\]"),
        ({"rope_parameters": {"full_attention": {"rope_theta": 1e4}}}, "not one set for all"),
        ({"rope_parameters": ["default"]}, "not one set for all"),
        ({"rope_parameters": {"rope_theta": "x"}}, "rope_theta is 'x'; a number above 0"),
        ({"rope_parameters": {**LLAMA3, "high_freq_factor": 1.0}}, "llama3 without an order"),
        ({"rope_parameters": {**LLAMA3, "factor": 0.5}}, "factor >= 1"),
    ],
)
def test_what_is_not_carried_is_refused_in_one_line(config, change, message):
    with pytest.raises(InputError, match=message) as caught:
        families.check({**config, **change}, "models/x")
    assert str(caught.value).startswith(("models/x: ", "config.json"))
    assert "\n" not in str(caught.value)


def test_scaled_positions_are_of_the_families_that_have_them(tiny_qwen2):
    config = {**checkpoint.read_config(tiny_qwen2), "rope_parameters": LLAMA3}
    with pytest.raises(InputError, match="rope_type is 'llama3'; supported: default"):
        families.check(config)


@pytest.mark.parametrize("key", ["rope_parameters", "rope_scaling"])
@pytest.mark.parametrize("head_dim", [64, 128])
def test_scaled_angles_are_those_of_transformers(key, head_dim):
    given = {key: LLAMA3}
    if key == "rope_scaling":  # as Llama 3's own files have it
        given = {key: {k: v for k, v in LLAMA3.items() if k != "rope_theta"}, "rope_theta": 5e5}
    ours = rotary.read(given).frequencies(head_dim)
    config = AutoConfig.for_model("llama", vocab_size=8, hidden_size=2 * head_dim,
                                  intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
                                  num_key_value_heads=1, rope_parameters=LLAMA3)  # fmt: skip
    theirs = AutoModelForCausalLM.from_config(config).model.rotary_emb.inv_freq
    assert torch.allclose(torch.tensor(ours), theirs, rtol=1e-5, atol=0)
    factors = rotary.read(given).factors(head_dim)
    assert factors == sorted(factors)
    assert (factors[0], factors[-1]) == (1.0, 32.0)
    assert any(1 < factor < 32 for factor in factors)


@pytest.mark.parametrize(
    ("model_type", "change", "window"),
    [
        ("mistral", {"sliding_window": 4096}, 4096),  # Mistral 7B v0.1
        ("mistral", {}, 4096),  # transformers' own default
        ("mistral", {"sliding_window": None}, None),  # v0.2 and later
        ("qwen2", {"sliding_window": 4096, "use_sliding_window": False}, None),
        ("qwen2", {"sliding_window": 4096, "use_sliding_window": True}, 4096),
        ("qwen3", {"sliding_window": 4096, "layer_types": ["sliding_attention"] * 2}, 4096),
        ("llama", {"sliding_window": 4096}, None),
    ],
)
def test_a_window_shorter_than_the_context_is_refused_or_caps_it(
    config, model_type, change, window
):
    given = {**config, "model_type": model_type, "max_position_embeddings": 32768, **change}
    given.pop("architectures")
    assert families.sliding_window(given) == window
    capped, note = families.without_window(given)
    assert families.check(capped)
    assert families.sliding_window(capped) is None
    assert capped["max_position_embeddings"] == (window or 32768)
    if window is None:
        assert (note, capped) == (None, given)
        assert families.check(given)
    else:
        assert "from 32768 to its sliding window of 4096" in note
        with pytest.raises(InputError, match="sliding_window is 4096; supported: none below"):
            families.check(given)


def test_within_its_window_a_model_computes_the_same_without_it(tiny_checkpoint):
    folder, ids = tiny_checkpoint("mistral"), torch.arange(40)[None]
    config = {**checkpoint.read_config(folder), "sliding_window": 16}
    logits = []
    for given in (config, families.without_window(config)[0]):
        model = AutoModelForCausalLM.from_pretrained(
            folder, config=AutoConfig.for_model(**given), attn_implementation="sdpa"
        )
        with torch.inference_mode():
            logits.append(model(ids).logits[0])
    assert torch.allclose(logits[0][:16], logits[1][:16], atol=1e-5)
    assert (logits[0][16:] - logits[1][16:]).abs().max() > 1e-3
