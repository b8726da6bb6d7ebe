"""Measure the importance matrix of a checkpoint: mean squares of what its matrices multiply.

Every token of the calibration rows counts, as in llama.cpp's own tool, but for the head, which sees
only what predicts an answer. Where the head is the embedding, its inputs stand by that name.

Source: llama.cpp `tools/imatrix` (the statistic); Frantar et al. 2022 (GPTQ, arXiv:2210.17323,
eq. 1: the error of a layer's output, of which this is the diagonal).

Dimensions: T tokens of a line, N answer tokens, X inputs of a matrix.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn

from potstill.compress.work import Work
from potstill.hints import importance
from potstill.loading.load import CausalLM
from potstill.models import families
from potstill.tokens.packing import Pack

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def compress(work: Work) -> dict[str, float | str]:
    """Write the same weights with `importance.safetensors` beside them."""
    found = measure(work.model(), work.packs)
    work.link()
    importance.write(work.out, found)
    tokens = sum(pack.ids_1T.shape[1] for pack in work.packs)
    return {"calibration_tokens": tokens, "matrices": len(found)}


def measure(model: CausalLM, packs: Sequence[Pack]) -> importance.Importance:
    """Return by a matrix's name the mean square of each of its inputs [X], float32."""
    sums: dict[str, torch.Tensor] = {}
    counts: dict[str, int] = {}

    def add(name: str, inputs: torch.Tensor) -> None:
        flat = inputs.detach().flatten(0, -2).double()
        sums[name] = sums.get(name, 0) + flat.square().sum(0)
        counts[name] = counts.get(name, 0) + len(flat)

    hooks = [
        module.register_forward_pre_hook(_note(add, f"{name}.weight"))
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not model.lm_head
    ]
    head = EMBEDDING if families.is_tied(model.config.to_dict()) else HEAD
    try:
        with torch.inference_mode():
            for pack in packs:
                hidden_1TD = model.model(**pack.inputs).last_hidden_state
                add(head, pack.predicting(hidden_1TD))
    finally:
        for hook in hooks:
            hook.remove()
    return {name: (total / counts[name]).float().cpu().numpy() for name, total in sums.items()}


def _note(add: Callable[[str, torch.Tensor], None], name: str) -> Callable[..., None]:
    def hook(_: object, inputs: tuple[torch.Tensor, ...]) -> None:
        add(name, inputs[0])

    return hook
