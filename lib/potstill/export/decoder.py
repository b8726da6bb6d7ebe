"""A plain decoder that every exporter can convert: tensors in, tensors out, no cache objects.

It loads the checkpoints of the Llama and Qwen2 families and computes what transformers computes
(the tests hold them within 1e-4 in float32). The transformers classes themselves do not convert
everywhere.

Dimensions: B rows, T new tokens, P cached tokens, S = P + T, D width, H query heads, K key heads,
E head width, V vocabulary, L layers.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from potstill.errors import InputError
from potstill.models import checkpoint

FAMILIES = ("llama", "qwen2")


class Norm(nn.Module):
    """RMSNorm (Zhang and Sennrich 2019, eq. 4)."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scale each vector to unit root mean square."""
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.epsilon) * self.weight


class Layer(nn.Module):
    """One decoder layer: grouped-query attention with rotary positions, then SwiGLU."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width, heads = config["hidden_size"], config["num_attention_heads"]
        self.head_width = config.get("head_dim") or width // heads
        key_heads, inner = config["num_key_value_heads"], config["intermediate_size"]
        bias, epsilon = config["model_type"] == "qwen2", config["rms_norm_eps"]
        self.group = heads // key_heads
        self.input_layernorm = Norm(width, epsilon)
        self.post_attention_layernorm = Norm(width, epsilon)
        self.q_proj = nn.Linear(width, heads * self.head_width, bias=bias)
        self.k_proj = nn.Linear(width, key_heads * self.head_width, bias=bias)
        self.v_proj = nn.Linear(width, key_heads * self.head_width, bias=bias)
        self.o_proj = nn.Linear(heads * self.head_width, width, bias=False)
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(
        self,
        x_BTD: torch.Tensor,
        rotary: tuple[torch.Tensor, torch.Tensor],
        bias_B1TS: torch.Tensor,
        past: tuple[torch.Tensor, torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the new hidden states and all keys and values [B, K, S, E] so far."""
        normed = self.input_layernorm(x_BTD)
        q = _rotate(self._heads(self.q_proj(normed)), rotary)
        k = torch.cat([past[0], _rotate(self._heads(self.k_proj(normed)), rotary)], dim=2)
        v = torch.cat([past[1], self._heads(self.v_proj(normed))], dim=2)
        scores = q @ self._repeat(k).transpose(2, 3) * self.head_width**-0.5 + bias_B1TS
        mixed = torch.softmax(scores, dim=-1) @ self._repeat(v)
        x_BTD = x_BTD + self.o_proj(mixed.transpose(1, 2).flatten(2))
        normed = self.post_attention_layernorm(x_BTD)
        inner = functional.silu(self.gate_proj(normed)) * self.up_proj(normed)
        return x_BTD + self.down_proj(inner), k, v

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(2, (-1, self.head_width)).transpose(1, 2)

    def _repeat(self, x: torch.Tensor) -> torch.Tensor:
        return x.repeat_interleave(self.group, dim=1)


def _rotate(x: torch.Tensor, rotary: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Turn each half-split pair by its position's angle (Su et al. 2021, in GPT-NeoX layout)."""
    cosine, sine = rotary
    first, second = x.chunk(2, dim=-1)
    return x * cosine + torch.cat([-second, first], dim=-1) * sine


class Decoder(nn.Module):
    """The whole model. The embedding and a tied head are one matrix, stored once as [D, V]."""

    inverse_frequencies: torch.Tensor

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width, vocab = config["hidden_size"], config["vocab_size"]
        self.layers = nn.ModuleList(Layer(config) for _ in range(config["num_hidden_layers"]))
        self.norm = Norm(width, config["rms_norm_eps"])
        self.head_DV = nn.Parameter(torch.zeros(width, vocab))
        tied = config.get("tie_word_embeddings", True)
        self.embedding_DV = self.head_DV if tied else nn.Parameter(torch.zeros(width, vocab))
        head_width = config.get("head_dim") or width // config["num_attention_heads"]
        steps = torch.arange(0, head_width, 2, dtype=torch.float32) / head_width
        self.register_buffer("inverse_frequencies", _theta(config) ** -steps)

    def forward(
        self, ids_BT: torch.Tensor, mask_BS: torch.Tensor, *past: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Return logits [B, T, V] and the keys and values of every layer [B, K, S, E].

        Args:
            ids_BT: int64 ids of the new tokens.
            mask_BS: int64, 1 for real and 0 for padding, cached tokens included; padding may stand
                on the left, positions count real tokens only.
            past: key and value of each layer [B, K, P, E], in turn; P is 0 at the start.
        """
        tokens = ids_BT.shape[1]
        positions_BS = (mask_BS.cumsum(dim=1) - 1).clamp(min=0)
        angles = positions_BS[:, -tokens:, None].to(torch.float32) * self.inverse_frequencies
        angles = torch.cat([angles, angles], dim=-1)[:, None]
        rotary = (angles.cos(), angles.sin())
        place_S = torch.arange(mask_BS.shape[1], device=ids_BT.device)
        later_TS = place_S[None, :] > place_S[-tokens:, None]
        hidden = later_TS[None, None] | (mask_BS == 0)[:, None, None]
        bias = torch.zeros_like(hidden, dtype=torch.float32).masked_fill(hidden, -1e9)
        x = self.embedding_DV.index_select(1, ids_BT.flatten()).unflatten(1, ids_BT.shape)
        x = x.permute(1, 2, 0)
        cache: list[torch.Tensor] = []
        for index, layer in enumerate(self.layers):
            x, k, v = layer(x, rotary, bias, (past[2 * index], past[2 * index + 1]))
            cache += [k, v]
        return (self.norm(x) @ self.head_DV, *cache)

    def empty_cache(self, rows: int) -> list[torch.Tensor]:
        """Return the cache before the first token."""
        layer = self.layers[0]
        assert isinstance(layer, Layer)
        heads = layer.k_proj.out_features // layer.head_width
        shape = (rows, heads, 0, layer.head_width)
        return [torch.zeros(shape) for _ in range(2 * len(self.layers))]


def _theta(config: Mapping[str, Any]) -> float:
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = rope.get("rope_type", "default")
    if kind != "default":
        raise InputError(f"rotary positions are scaled ({kind}); only unscaled ones are supported")
    return float(rope.get("rope_theta") or config.get("rope_theta") or 10000.0)


def load(folder: Path) -> Decoder:
    """Return the decoder of a checkpoint folder, float32, in evaluation mode.

    Raises:
        InputError: another family, a sliding window, scaled positions, or tensors that are missing.
    """
    config = checkpoint.read_config(folder)
    if config.get("model_type") not in FAMILIES:
        raise InputError(
            f"{folder} is a {config.get('model_type')} model; supported: {', '.join(FAMILIES)}"
        )
    if config.get("use_sliding_window") or config.get("attention_bias") or config.get("mlp_bias"):
        raise InputError(f"{folder}: sliding windows and extra biases are not supported")
    model = Decoder(config)
    state = {}
    for name, tensor in checkpoint.read_state(folder).items():
        short = name.removeprefix("model.").replace(".self_attn.", ".").replace(".mlp.", ".")
        state[short] = tensor.to(torch.float32)
    embedding = state.pop("embed_tokens.weight").T.contiguous()
    head = state.pop("lm_head.weight", embedding.T).T.contiguous()
    state |= {"embedding_DV": embedding, "head_DV": head}
    state["inverse_frequencies"] = model.inverse_frequencies
    missing, unknown = model.load_state_dict(state, strict=False)
    if missing or unknown:
        raise InputError(f"{folder}: missing {missing[:3]}, unknown {unknown[:3]}")
    return model.eval()


def greedy_inputs(model: Decoder, ids: Sequence[int]) -> tuple[torch.Tensor, ...]:
    """Return the inputs that read one row from an empty cache."""
    row = torch.tensor([list(ids)])
    return (row, torch.ones_like(row), *model.empty_cache(1))
