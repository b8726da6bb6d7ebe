"""Causal attention for short rows in bfloat16 on a CPU: three products instead of one kernel.

torch's fused kernel for CPUs walks blocks of keys so that no [T, T] matrix exists. Below about a
thousand tokens that matrix fits into the cache, and plain products are quicker
(benchmarks/attention.py). What is longer, padded by a mask, on another device or in another dtype
goes to transformers' own function.

Dimensions: B rows, H query heads, G key heads, R = H / G, T tokens, D width of a head.
"""

from typing import Any

import torch
from torch.nn import functional

from potstill.loading.head import product_dtype

NAME = "short_bfloat16"
MAX_TOKENS = 512  # 19 MB of probabilities are kept a layer at 4 rows and 9 heads


def register() -> str:
    """Make the function known to transformers; return the name for `attn_implementation`."""
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface
    from transformers.modeling_utils import AttentionInterface

    AttentionInterface.register(NAME, _forward)
    AttentionMaskInterface.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    return NAME


def _forward(
    module: torch.nn.Module,
    query_BHTD: torch.Tensor,
    key_BGTD: torch.Tensor,
    value_BGTD: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **others: Any,  # noqa: ANN401 - transformers' own
) -> tuple[torch.Tensor, None]:
    """Return [B, T, H, D]; the signature is that of transformers' `sdpa_attention_forward`."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    plain = attention_mask is None and not dropout and others.get("position_bias") is None
    whole = query_BHTD.shape[2] == key_BGTD.shape[2] <= MAX_TOKENS
    here = query_BHTD.device.type == "cpu" and product_dtype(query_BHTD) == torch.bfloat16
    causal = others.get("is_causal")
    causal = getattr(module, "is_causal", True) if causal is None else causal
    if plain and whole and here and causal:
        scale = scaling if scaling is not None else query_BHTD.shape[-1] ** -0.5
        out_BHTD = causal_attention(query_BHTD, key_BGTD, value_BGTD, scale, torch.bfloat16)
        return out_BHTD.transpose(1, 2).contiguous(), None
    result: tuple[torch.Tensor, None] = sdpa_attention_forward(
        module,
        query_BHTD,
        key_BGTD,
        value_BGTD,
        attention_mask,
        dropout=dropout,
        scaling=scaling,
        **others,
    )
    return result


def causal_attention(
    query_BHTD: torch.Tensor,
    key_BGTD: torch.Tensor,
    value_BGTD: torch.Tensor,
    scale: float,
    dtype: torch.dtype,
) -> torch.Tensor:
    """Return softmax(scale * q k^T, keys up to the query) v, computed in a dtype, [B, H, T, D].

    Heads that share keys stand one after the other, as in transformers' `repeat_kv`; here they are
    more rows of one product, and nothing is repeated.

    What all keys share is taken off them first: it moves all scores of a query alike, which softmax
    ignores and rounding does not. Qwen2's biases make it large: without this the KL to float32
    doubles. Source: Zhang et al. 2024 (SageAttention, "smooth K").
    """
    B, H, T, D = query_BHTD.shape
    G = key_BGTD.shape[1]
    rows = (H // G) * T
    key_BGTD = key_BGTD - key_BGTD.detach().mean(2, keepdim=True)
    query = query_BHTD.to(dtype).reshape(B * G, rows, D)
    key, value = (x.to(dtype).reshape(B * G, T, D) for x in (key_BGTD, value_BGTD))
    hidden_TT = query.new_full((T, T), -torch.inf).triu(1)
    mask = hidden_TT.repeat(H // G, 1).expand(B * G, rows, T)
    scores = torch.baddbmm(mask, query, key.transpose(1, 2), alpha=scale)
    out = torch.bmm(functional.softmax(scores, dim=-1), value)
    return out.view(B, H, T, D)
