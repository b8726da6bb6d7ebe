"""A plain decoder that every exporter can convert: tensors in, tensors out, no cache objects.

It loads the checkpoints of every family in `potstill.models.families` and computes what
transformers computes (the tests hold them within 1e-4 in float32). The transformers classes
themselves do not convert everywhere.

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
from potstill.models import checkpoint, families, rotary


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
    """One decoder layer: grouped-query attention with rotary positions, then SwiGLU.

    The projections are [out, in]; the norms of queries and keys, where the family has them, are of
    one head's width and the same for all heads.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        width, heads = config["hidden_size"], config["num_attention_heads"]
        family, self.head_width = families.of(config), families.head_dim(config)
        key_heads, inner = families.num_key_heads(config), config["intermediate_size"]
        bias, epsilon = family.qkv_bias, config["rms_norm_eps"]
        self.group = heads // key_heads
        self.input_layernorm = Norm(width, epsilon)
        self.post_attention_layernorm = Norm(width, epsilon)
        self.q_proj = nn.Linear(width, heads * self.head_width, bias=bias)
        self.k_proj = nn.Linear(width, key_heads * self.head_width, bias=bias)
        self.v_proj = nn.Linear(width, key_heads * self.head_width, bias=bias)
        self.q_norm, self.k_norm = (
            Norm(self.head_width, epsilon) if family.qk_norms else nn.Identity() for _ in "qk"
        )
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
        q = _rotate(self.q_norm(self._heads(self.q_proj(normed))), rotary)
        new_k = _rotate(self.k_norm(self._heads(self.k_proj(normed))), rotary)
        k = torch.cat([past[0], new_k], dim=2)
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
        tied = families.is_tied(config)
        self.embedding_DV = self.head_DV if tied else nn.Parameter(torch.zeros(width, vocab))
        turns = rotary.read(config).frequencies(families.head_dim(config))
        self.register_buffer("inverse_frequencies", torch.tensor(turns, dtype=torch.float32))

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
        turned = (angles.cos(), angles.sin())
        place_S = torch.arange(mask_BS.shape[1], device=ids_BT.device)
        later_TS = place_S[None, :] > place_S[-tokens:, None]
        hidden = later_TS[None, None] | (mask_BS == 0)[:, None, None]
        bias = torch.zeros_like(hidden, dtype=torch.float32).masked_fill(hidden, -1e9)
        x = self.embedding_DV.index_select(1, ids_BT.flatten()).unflatten(1, ids_BT.shape)
        x = x.permute(1, 2, 0)
        cache: list[torch.Tensor] = []
        for index, layer in enumerate(self.layers):
            x, k, v = layer(x, turned, bias, (past[2 * index], past[2 * index + 1]))
            cache += [k, v]
        return (self.norm(x) @ self.head_DV, *cache)

    def empty_cache(self, rows: int) -> list[torch.Tensor]:
        """Return the cache before the first token."""
        layer = self.layers[0]
        assert isinstance(layer, Layer)
        heads = layer.k_proj.out_features // layer.head_width
        shape = (rows, heads, 0, layer.head_width)
        return [torch.zeros(shape) for _ in range(2 * len(self.layers))]


def load(folder: Path) -> Decoder:
    """Return the decoder of a checkpoint folder, float32, in evaluation mode.

    The checkpoint's tensors are read one at a time.

    Raises:
        InputError: see `families.check`; tensors that are missing, unknown or of another shape.
    """
    config = checkpoint.read_config(folder)
    families.check(config, folder)
    model = Decoder(config)
    wanted = dict(model.named_parameters())  # a tied matrix is there once, under the head's name
    tied = families.is_tied(config)
    missing, unknown = set(wanted), []
    for name, tensor in checkpoint.tensors(folder):
        ours = _our_name(name, tied)
        if ours is None:
            continue
        weight = tensor.T if ours.endswith("_DV") else tensor
        if ours not in wanted or wanted[ours].shape != weight.shape:
            unknown.append(f"{name} {list(tensor.shape)}")
            continue
        with torch.no_grad():
            wanted[ours].copy_(weight)
        missing.discard(ours)
    if missing or unknown:
        raise InputError(
            f"{folder}: missing {sorted(missing)[:3]}, unknown or of another shape {unknown[:3]}: "
            "config.json and the weights are not of one model"
        )
    return model.eval()


def _our_name(name: str, tied: bool) -> str | None:
    """Return this module's name of a checkpoint's tensor, None for one that is not needed."""
    if name == "model.embed_tokens.weight":
        return "head_DV" if tied else "embedding_DV"
    if name == "lm_head.weight":
        return None if tied else "head_DV"
    if name.endswith("rotary_emb.inv_freq"):  # older files store what config.json says
        return None
    return name.removeprefix("model.").replace(".self_attn.", ".").replace(".mlp.", ".")


def greedy_inputs(model: Decoder, ids: Sequence[int]) -> tuple[torch.Tensor, ...]:
    """Return the inputs that read one row from an empty cache."""
    row = torch.tensor([list(ids)])
    return (row, torch.ones_like(row), *model.empty_cache(1))
