"""Load a checkpoint folder as a transformers model for sampling, caching and training."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from potstill.errors import InputError

CausalLM = Any  # a transformers model with `.model` and `.lm_head`; its classes are untyped here


def causal_lm(folder: Path, dtype: torch.dtype, device: torch.device) -> CausalLM:
    """Return the model in evaluation mode with scaled-dot-product attention.

    Raises:
        InputError: transformers does not know the architecture.
    """
    import logging

    # transformers imports torchao, which warns about kernels for hardware that is not here.
    for name in ("torchao", "torch.utils._pytree"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as progress

    progress.disable_progress_bar()
    try:
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, attn_implementation="sdpa", use_safetensors=True
        )
    except (ValueError, KeyError, OSError) as error:
        raise InputError(f"{folder} cannot be loaded: {' '.join(str(error).split())}") from None
    return model.to(device).eval()


def trainable(folder: Path, device: torch.device) -> CausalLM:
    """Return the model with float32 weights, whatever the file holds."""
    return causal_lm(folder, torch.float32, device)


def reference_logits(folder: Path, threads: int) -> Callable[[Sequence[int]], np.ndarray]:
    """Return a function ids -> float32 logits [T, V] of a checkpoint on the CPU."""
    torch.set_num_threads(threads)
    model = causal_lm(folder, torch.float32, torch.device("cpu"))

    def logits(ids: Sequence[int]) -> np.ndarray:
        with torch.inference_mode():
            row: np.ndarray = model(torch.tensor([list(ids)]), use_cache=False).logits[0].numpy()
        return row

    return logits
