"""Load a checkpoint folder as a transformers model for sampling, caching and training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from potstill.errors import InputError
from potstill.loading import attention, norms
from potstill.models import checkpoint, families

CausalLM = Any  # a transformers model with `.model` and `.lm_head`; its classes are untyped here


def causal_lm(
    folder: Path, dtype: torch.dtype, device: torch.device, *, packed: bool = False
) -> CausalLM:
    """Return the model in evaluation mode with scaled-dot-product attention.

    Args:
        folder: a checkpoint.
        dtype: of its weights in memory.
        device: where it shall be.
        packed: compressed-tensors stored it (see `hints.packed`, whose `check` comes first).
            Weights are decompressed here once, inputs are rounded as its config says.

    Raises:
        InputError: see `families.check`, or the folder's weights do not fit its config.json.
    """
    import logging

    config = checkpoint.read_config(folder)
    families.check({**config, "quantization_config": None} if packed else config, folder)

    # transformers imports torchao, which warns about kernels for hardware that is not here.
    for name in ("torchao", "torch.utils._pytree"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as progress

    progress.disable_progress_bar()
    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            attn_implementation=attention.register(),
            use_safetensors=True,
            output_loading_info=True,
            **(_decompressed() if packed else {}),
        )
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        raise InputError(f"{folder} cannot be loaded: {' '.join(str(error).split())}") from None
    wrong = {key: sorted(found[key])[:3] for key in ("missing_keys", "unexpected_keys")}
    if any(wrong.values()):  # transformers would draw what is missing at random
        raise InputError(
            f"{folder}: missing {wrong['missing_keys']}, unknown {wrong['unexpected_keys']}: "
            "config.json and the weights are not of one model"
        )
    norms.lighten(model)
    return model.to(device).eval()


def _decompressed() -> dict[str, Any]:
    """Return what makes transformers decompress weights when it loads, not at the first pass."""
    from transformers import CompressedTensorsConfig

    return {"quantization_config": CompressedTensorsConfig(dequantize=True)}


def trainable(folder: Path, device: torch.device) -> CausalLM:
    """Return the model with float32 weights, whatever the file holds."""
    return causal_lm(folder, torch.float32, device)


def from_config(config: dict[str, Any]) -> CausalLM:
    """Return a model of a config.json with random weights, float32, drawn from torch's seed.

    Raises:
        InputError: transformers does not know the architecture, or the sizes do not fit together.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        known = AutoConfig.for_model(**config)
        return AutoModelForCausalLM.from_config(
            known, dtype=torch.float32, attn_implementation=attention.register()
        )
    except (ValueError, KeyError, RuntimeError, TypeError) as error:
        raise InputError(f"no model has this config: {' '.join(str(error).split())}") from None


class ReferenceModel:
    """A checkpoint as transformers computes it, in float32 on the CPU: what others must equal."""

    def __init__(self, folder: Path, threads: int) -> None:
        torch.set_num_threads(threads)
        self._model = causal_lm(folder, torch.float32, torch.device("cpu"))

    def logits(self, ids: Sequence[int]) -> np.ndarray:
        """Return float32 logits [T, V] of T ids; row t predicts ids[t + 1]."""
        with torch.inference_mode():
            output = self._model(torch.tensor([list(ids)]), use_cache=False)
        row: np.ndarray = output.logits[0].numpy()
        return row

    def answer(self, ids: Sequence[int], max_tokens: int, stop_ids: list[int]) -> list[int]:
        """Return the greedy continuation; a stop id ends it and is its last id."""
        prompt = torch.tensor([list(ids)])
        row = self._model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            max_new_tokens=max_tokens,
            eos_token_id=stop_ids,
            pad_token_id=stop_ids[0],
        )[0]
        made: list[int] = row[len(ids) :].tolist()
        return made
