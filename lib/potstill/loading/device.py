"""Where and in which precision to compute."""

import ctypes
import sys
from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16"]


def pick_device() -> torch.device:
    """Return the CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def release_memory() -> None:
    """Give the system the memory that is free, where glibc would keep it.

    It keeps what is freed below 32 MB, which most matrices and activations are; passes of other
    lengths than before then take more, step after step (docs/facts.md).
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
        if trim is not None:
            trim(0)


def compute_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the dtype of matrix products.

    `auto` takes bfloat16 where the hardware multiplies it: a CPU without AVX-512 BF16 or AMX
    emulates it, measured 30 to 500 times slower than float32. The choice reads the processor's
    feature list, not a clock, so it is the same on every run.
    """
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if fast else torch.float32


def make_deterministic(seed: int, threads: int) -> None:
    """Fix what changes the order of additions: the seed, the thread count, the algorithms."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    # Filling memory that is overwritten anyway is an aid for debugging and 1.4 % of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
