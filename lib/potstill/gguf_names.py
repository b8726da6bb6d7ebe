"""The tensors of our families as GGUF names and stores them, in both directions.

Source: llama.cpp `convert_hf_to_gguf.py` (names, the permutation of q and k).
"""

import numpy as np

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
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TOP_NAMES = {theirs: ours for ours, theirs in _TOP.items()}
_BLOCK_NAMES = {theirs: ours for ours, theirs in _BLOCK.items()}


def stored_as(name: str) -> str:
    """Return the Hugging Face name of a tensor; one that no family has stays as it is.

    >>> stored_as("blk.3.attn_q.weight")
    'model.layers.3.self_attn.q_proj.weight'
    """
    parts = name.split(".")
    if parts[0] == "blk" and len(parts) == 4 and parts[2] in _BLOCK:
        return f"model.layers.{parts[1]}.{_BLOCK[parts[2]]}.{parts[3]}"
    if parts[0] in _TOP and len(parts) == 2:
        return f"{_TOP[parts[0]]}.{parts[1]}"
    return name


def named(name: str) -> str:
    """Return GGUF's name of a tensor, the inverse of `stored_as`.

    >>> named("model.layers.3.self_attn.q_proj.weight")
    'blk.3.attn_q.weight'
    """
    whole, _, kind = name.rpartition(".")
    if whole in _TOP_NAMES:
        return f"{_TOP_NAMES[whole]}.{kind}"
    parts = whole.split(".", 3)
    if parts[:2] == ["model", "layers"] and parts[-1] in _BLOCK_NAMES:
        return f"blk.{parts[2]}.{_BLOCK_NAMES[parts[-1]]}.{kind}"
    return name


def split(weight: np.ndarray, heads: int) -> np.ndarray:
    """Undo llama.cpp's pairing of rotary dimensions: from interleaved to half-split rows."""
    return _swapped(weight, (heads, weight.shape[0] // heads // 2, 2))


def pair(weight: np.ndarray, heads: int) -> np.ndarray:
    """Pair rotary dimensions as llama.cpp has them: from half-split to interleaved rows."""
    return _swapped(weight, (heads, 2, weight.shape[0] // heads // 2))


def _swapped(weight: np.ndarray, rows: tuple[int, int, int]) -> np.ndarray:
    shape = weight.shape
    return weight.reshape(*rows, *shape[1:]).swapaxes(1, 2).reshape(shape)
