"""Causal attention by plain bfloat16 products against torch's fused kernel for CPUs.

`python -m benchmarks.attention` prints one JSON line a number of tokens: milliseconds of a forward
and backward pass of 8 rows of SmolLM2-135M's heads, the two sides in turn, the best of each, and
the largest error of each against float64.
"""

import json
import time

import torch
from potstill.loading.attention import causal_attention
from torch.nn import functional

ROWS, HEADS, KEY_HEADS, WIDTH = 8, 9, 3, 64
TOKENS = (64, 128, 224, 512)
THREADS, REPEATS = 2, 12
SCALE = WIDTH**-0.5


def fused(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return torch's own, as transformers calls it."""
    return functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, enable_gqa=True
    )


def products(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return ours."""
    return causal_attention(query, key, value, SCALE, query.dtype)


SIDES = {"products": products, "fused": fused}


def main() -> None:
    """Measure and print."""
    torch.set_num_threads(THREADS)
    for tokens in TOKENS:
        torch.manual_seed(0)
        exact = [
            torch.randn(ROWS, heads, tokens, WIDTH, dtype=torch.float64)
            for heads in (HEADS, KEY_HEADS, KEY_HEADS)
        ]
        inputs = [x.bfloat16().requires_grad_() for x in exact]
        slope = torch.randn(ROWS, HEADS, tokens, WIDTH).bfloat16()
        rounded = [x.detach().double() for x in inputs]
        expected = fused(*rounded)
        best = dict.fromkeys(SIDES, float("inf"))
        errors = {
            name: (side(*inputs).detach().double() - expected).abs().max().item()
            for name, side in SIDES.items()
        }
        for _ in range(REPEATS):
            for name, side in SIDES.items():
                begun = time.perf_counter()
                torch.autograd.grad(side(*inputs), inputs, slope)
                best[name] = min(best[name], time.perf_counter() - begun)
        row = {
            "tokens": tokens,
            **{f"{name}_ms": round(value * 1e3, 2) for name, value in best.items()},
            "ratio": round(best["products"] / best["fused"], 3),
            **{f"{name}_error": round(value, 5) for name, value in errors.items()},
        }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
