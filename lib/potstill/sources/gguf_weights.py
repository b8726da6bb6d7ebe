"""Read the weights and the configuration of a GGUF file in Hugging Face's names and layout.

transformers can do this too; it is the oracle in the tests. It takes half a minute for a model of
135M parameters, logs pages, and refuses to save what it loaded.

Source: llama.cpp `convert_hf_to_gguf.py` (names, the permutation of q and k), read backwards.
"""

from pathlib import Path
from typing import Any

import numpy as np

from potstill.errors import InputError
from potstill.gguf.header import Header

ARCHITECTURES = {
    "llama": ("llama", "LlamaForCausalLM"),
    "qwen2": ("qwen2", "Qwen2ForCausalLM"),
}
_TOP = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
_BLOCK = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def config_of(fields: dict[str, Any], tied: bool) -> dict[str, Any]:
    """Return config.json's content from GGUF metadata.

    Raises:
        InputError: an architecture or a scaling of positions that is not supported.
    """
    architecture = fields.get("general.architecture")
    if architecture not in ARCHITECTURES:
        raise InputError(
            f"the GGUF file holds a {architecture} model; supported: "
            f"{', '.join(ARCHITECTURES)}; use the model's Hugging Face folder instead"
        )
    scaling = fields.get(f"{architecture}.rope.scaling.type", "none")
    if scaling != "none":
        raise InputError(f"the GGUF file scales positions ({scaling}): use its Hugging Face folder")
    model_type, name = ARCHITECTURES[architecture]

    def field(key: str) -> Any:  # noqa: ANN401 - metadata values have any type
        return fields[f"{architecture}.{key}"]

    heads, width = field("attention.head_count"), field("embedding_length")
    config = {
        "architectures": [name],
        "model_type": model_type,
        "hidden_size": width,
        "intermediate_size": field("feed_forward_length"),
        "num_hidden_layers": field("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": fields.get(f"{architecture}.attention.head_count_kv", heads),
        "head_dim": fields.get(f"{architecture}.attention.key_length", width // heads),
        "max_position_embeddings": field("context_length"),
        # The file holds a float32 of the configured decimal number.
        "rms_norm_eps": float(f"{field('attention.layer_norm_rms_epsilon'):.6g}"),
        "rope_theta": fields.get(f"{architecture}.rope.freq_base", 10000.0),
        "hidden_act": "silu",
        "tie_word_embeddings": tied,
        "vocab_size": len(fields["tokenizer.ggml.tokens"]),
    }
    for role, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding")):
        config[f"{role}_token_id"] = fields.get(f"tokenizer.ggml.{key}_token_id")
    return config


def read_weights(path: Path, header: Header, heads: int, kv_heads: int) -> dict[str, np.ndarray]:
    """Return the dequantised weights, float32, by their Hugging Face names.

    Args:
        path: a GGUF file.
        header: what it says of itself.
        heads: number of query heads, for the permutation of q.
        kv_heads: number of key heads, for the permutation of k.

    Raises:
        InputError: a tensor that no supported model has.
    """
    from gguf.quants import dequantize

    permuted = header.fields["general.architecture"] == "llama"
    content = np.memmap(path, mode="r")
    weights = {}
    for tensor in header.tensors:
        name = _name(tensor.name)
        begin = header.start + tensor.offset
        stored = content[begin : begin + tensor.num_bytes]
        rows = stored.reshape(*reversed(tensor.shape[1:]), -1)  # a row holds whole blocks
        value = np.asarray(dequantize(rows, tensor.type), dtype=np.float32)
        if permuted and ".q_proj." in name:
            value = _unpermute(value, heads)
        if permuted and ".k_proj." in name:
            value = _unpermute(value, kv_heads)
        weights[name] = np.ascontiguousarray(value)
    return weights


def _name(name: str) -> str:
    parts = name.split(".")
    if parts[0] == "blk" and parts[2] in _BLOCK:
        return f"model.layers.{parts[1]}.{_BLOCK[parts[2]]}.{parts[3]}"
    if parts[0] in _TOP:
        return f"{_TOP[parts[0]]}.{parts[1]}"
    raise InputError(f"the GGUF file has a tensor {name} that this model family does not have")


def _unpermute(weight: np.ndarray, heads: int) -> np.ndarray:
    """Undo llama.cpp's pairing of rotary dimensions: from interleaved to half-split rows."""
    shape = weight.shape
    return (
        weight.reshape(heads, shape[0] // heads // 2, 2, *shape[1:]).swapaxes(1, 2).reshape(shape)
    )
