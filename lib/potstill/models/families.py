"""What this project's own code must know of an architecture: one row of a table for each.

A model of another family, or one of these with a setting that an exporter or a runtime would
compute differently, is refused here by name, from config.json alone, before any work is done.

Sources: transformers' modeling files of the same names; llama.cpp, `convert_hf_to_gguf.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from potstill.errors import InputError
from potstill.models import rotary

_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Family:
    """One architecture: a decoder with RMSNorm, rotary positions, grouped heads and SwiGLU.

    Attributes:
        model_type: config.json's name of it, and the table's.
        architecture: the class in transformers.
        gguf: `general.architecture` in a GGUF file.
        qkv_bias: query, key and value projections add a bias.
        qk_norms: each head's queries and keys go through an RMSNorm before they are turned.
        gguf_permutes: GGUF holds the rows of q and k in pairs of neighbours.
        rotary: kinds of positions, by config.json's `rope_type`.
        head_dim: a head's width where config.json says none; 0 for width / heads.
        window: tokens that a query sees where config.json says nothing of `sliding_window`.
        always_windowed: `sliding_window` holds without `use_sliding_window`.
        free_heads: llama.cpp takes heads that together are not as wide as the model.
        lora_targets: the matrices that an adapter changes.
    """

    model_type: str
    architecture: str
    gguf: str
    qkv_bias: bool = False
    qk_norms: bool = False
    gguf_permutes: bool = False
    rotary: tuple[str, ...] = ("default",)
    head_dim: int = 0
    window: int | None = None
    always_windowed: bool = False
    free_heads: bool = True
    lora_targets: tuple[str, ...] = _LINEAR


FAMILIES: dict[str, Family] = {
    family.model_type: family
    for family in (
        # Llama 2 and 3.x, SmolLM2
        Family(
            "llama", "LlamaForCausalLM", "llama", gguf_permutes=True, rotary=("default", "llama3")
        ),
        # Mistral 7B and Nemo; GGUF knows them as llama
        Family(
            "mistral",
            "MistralForCausalLM",
            "llama",
            gguf_permutes=True,
            window=4096,
            always_windowed=True,
        ),
        Family(  # Qwen2 and Qwen2.5
            "qwen2", "Qwen2ForCausalLM", "qwen2", qkv_bias=True, free_heads=False
        ),
        Family("qwen3", "Qwen3ForCausalLM", "qwen3", qk_norms=True, head_dim=128),
    )
}
_SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
          "num_attention_heads", "max_position_embeddings")  # fmt: skip
_OPTIONAL_SIZES = ("num_key_value_heads", "head_dim", "sliding_window")
# Settings that change what is computed, and the values that stand for "not used".
_UNUSED = {
    "attention_bias": (None, False),
    "mlp_bias": (None, False),
    "num_local_experts": (None, 0),
    "num_experts": (None, 0),
    "partial_rotary_factor": (None, 1, 1.0),
    "quantization_config": (None,),
}


def of(config: Mapping[str, Any], where: str | Path = "config.json") -> Family:
    """Return the row of a config.json's model_type; see `check` for the whole of it.

    Raises:
        InputError: no such row.
    """
    family = FAMILIES.get(str(config.get("model_type")))
    if family is None:
        raise InputError(
            f"{where}: model_type is {config.get('model_type')!r}; supported: "
            f"{', '.join(FAMILIES)}: choose a model of one of these families"
        )
    return family


def check(config: Mapping[str, Any], where: str | Path = "config.json") -> Family:
    """Return the family of a config.json that every part of this project can carry.

    Args:
        config: the parsed config.json.
        where: what the message shall name.

    Raises:
        InputError: an unknown family, or a setting that is not carried: another activation or
            kind of positions, extra biases, experts, partly turned heads, quantised weights, a
            sliding window shorter than the context.
    """
    family = of(config, where)
    for name in (*_SIZES, *_OPTIONAL_SIZES):
        value = config.get(name)
        holds = _is_size(value) or (value is None and name in _OPTIONAL_SIZES)
        _need(where, name, value, "a whole number from 1", holds)
    classes = config.get("architectures") or [family.architecture]
    _need(where, "architectures", classes, [family.architecture], family.architecture in classes)
    act = config.get("hidden_act", "silu")
    _need(where, "hidden_act", act, "silu", act == "silu")
    epsilon = config.get("rms_norm_eps")
    _need(where, "rms_norm_eps", epsilon, "a number from 0", _is_number(epsilon))
    kind = rotary.read(config).kind
    _need(where, "rope_type", kind, ", ".join(family.rotary), kind in family.rotary)
    for name, unused in _UNUSED.items():
        value = (config.get("rope_parameters") or {}).get(name, config.get(name))
        _need(where, name, value, unused[-1], value in unused)
    heads, key_heads = config["num_attention_heads"], num_key_heads(config)
    _need(where, "num_key_value_heads", key_heads, f"a divisor of {heads}", heads % key_heads == 0)
    width = head_dim(config)
    _need(where, "head_dim", width, "an even number", width % 2 == 0)
    window, context = sliding_window(config), config["max_position_embeddings"]
    fits = window is None or window >= context
    _need(where, "sliding_window", window, f"none below the context of {context}", fits)
    return family


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _need(where: str | Path, name: str, got: object, allowed: object, holds: bool) -> None:
    if not holds:
        raise InputError(
            f"{where}: {name} is {got!r}; supported: {allowed}: choose another model of this family"
        )


def num_key_heads(config: Mapping[str, Any]) -> int:
    """Return the number of key and value heads; a config.json without one has one a query head."""
    return int(config.get("num_key_value_heads") or config["num_attention_heads"])


def head_dim(config: Mapping[str, Any]) -> int:
    """Return the width of one head."""
    split = config["hidden_size"] // config["num_attention_heads"]
    return int(config.get("head_dim") or of(config).head_dim or split)


def is_tied(config: Mapping[str, Any]) -> bool:
    """Return whether the head is the embedding; what config.json leaves out is not tied."""
    return bool(config.get("tie_word_embeddings", False))


def sliding_window(config: Mapping[str, Any]) -> int | None:
    """Return how many tokens a query sees, None for all of them."""
    family = of(config)
    used = config.get("use_sliding_window", family.always_windowed)
    layers = config.get("layer_types") or []
    if not used and set(layers) <= {"full_attention"}:
        return None
    window: int | None = config.get("sliding_window", family.window)
    return window


def without_window(config: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Cap the context at a sliding window, within which a model with and without it are equal.

    llama.cpp ignores the window of Mistral 7B v0.1, so beyond it the formats would differ.

    Returns:
        The config and, where it is not as it was, one line that says so.
    """
    window, changed = sliding_window(config), dict(config)
    if window is None:
        return changed, None
    changed["sliding_window"] = None
    if "use_sliding_window" in changed:
        changed["use_sliding_window"] = False
    if changed.get("layer_types"):
        changed["layer_types"] = ["full_attention"] * len(changed["layer_types"])
    context = changed.get("max_position_embeddings")
    if not isinstance(context, int) or window >= context:
        return changed, None
    changed["max_position_embeddings"] = window
    return changed, f"context capped from {context} to its sliding window of {window} tokens"


def shapes(config: Mapping[str, Any]) -> dict[str, list[int]]:
    """Return name -> shape of every tensor that a model of our families has, without a head.

    A head is one more, [vocab_size, hidden_size], where it is not tied.
    """
    family, each = of(config), head_dim(config)
    width, inner = config["hidden_size"], config["intermediate_size"]
    q, k = config["num_attention_heads"] * each, num_key_heads(config) * each
    block = {
        "self_attn.q_proj": [q, width],
        "self_attn.k_proj": [k, width],
        "self_attn.v_proj": [k, width],
        "self_attn.o_proj": [width, q],
        "mlp.gate_proj": [inner, width],
        "mlp.up_proj": [inner, width],
        "mlp.down_proj": [width, inner],
        "input_layernorm": [width],
        "post_attention_layernorm": [width],
    }
    if family.qk_norms:
        block |= {"self_attn.q_norm": [each], "self_attn.k_norm": [each]}
    parts = {f"{part}.weight": shape for part, shape in block.items()}
    if family.qkv_bias:
        parts |= {f"self_attn.{n}_proj.bias": [k if n != "q" else q] for n in "qkv"}
    layers = range(config["num_hidden_layers"])
    found = {f"model.layers.{n}.{part}": shape for n in layers for part, shape in parts.items()}
    top = {"model.embed_tokens.weight": [config["vocab_size"], width], "model.norm.weight": [width]}
    return found | top
