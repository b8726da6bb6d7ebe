"""Round the matrices of the layers by llmcompressor, to what vLLM and transformers load.

    rtn          each weight to the nearest: the control
    gptq         so that errors undo each other
    awq          to the nearest, after columns with large inputs were scaled up, and what gives
                 these inputs down
    smoothquant  as gptq, after large inputs were scaled down, and their columns up

w4a16: weights of 4 bits, a scale for each `group` columns of a row. w8a8: weights of 8 bits, a
scale a row; inputs are rounded to 8 bits too, a scale a token, when the model runs. Embedding, head
and norms stay float32, and what is tied stays tied.

The checkpoint has the rounded weights, as compressed-tensors reads them; beside it lies what
llmcompressor saved (`hints.packed`). The rounding of inputs is not in the checkpoint: the parity of
an export shows what it does. llmcompressor holds the whole model in memory.

Sources: Frantar et al. 2022 (GPTQ, arXiv:2210.17323), Lin et al. 2023 (AWQ, arXiv:2306.00978),
Xiao et al. 2022 (SmoothQuant, arXiv:2211.10438), all as llmcompressor computes them.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from potstill.compress import Metrics, layers
from potstill.compress.recipe import Oneshot
from potstill.compress.second_order import error
from potstill.compress.work import Work
from potstill.errors import InputError
from potstill.hints import packed
from potstill.loading.load import CausalLM
from potstill.models import checkpoint

SMOOTHING = 0.8  # share of the inputs' range that weights take over: docs/facts.md
GROUPS = (128, 64, 32, 16)  # that a message offers


def compress(work: Work) -> Metrics:
    """Write the rounded weights, and the packed ones beside them.

    Returns:
        scheme, group (0: a scale a row), bytes of the packed weights; of schemes that scale nothing
        before lost_share, as of `compress.gptq`.

    Raises:
        InputError: a group that does not divide the matrices' widths.
    """
    how = work.recipe.method
    assert isinstance(how, Oneshot)
    saved = work.scratch / "saved"
    _save(work, how, saved)
    packed.write(work.out, saved)
    weights = packed.Weights(work.out / packed.NAME)
    checkpoint.write(work.out, weights, checkpoint.read_config(work.source), beside=work.source)
    stored = checkpoint.weight_files(work.out / packed.NAME)
    found: Metrics = {
        "scheme": how.scheme,
        "group": packed.check(work.out / packed.NAME).group,
        "bytes": sum(path.stat().st_size for path in stored),
    }
    if how.scheme.startswith(("rtn", "gptq")):
        # of the outputs' squares on the calibration rows, in the mean over matrices
        found["lost_share"] = round(_lost_share(work, weights), 8)
    return found


def _save(work: Work, how: Oneshot, out: Path) -> None:
    """Let llmcompressor round the model and save it."""
    from llmcompressor.entrypoints.oneshot import oneshot
    from loguru import logger
    from torch.utils.data import DataLoader

    for name in ("llmcompressor", "compressed_tensors"):  # a few lines for each matrix
        logger.disable(name)
    model = work.model()
    if how.scheme.endswith("w4a16"):
        _fits(model, how.group)
    # one row at a time: what a line of several says by its mask is lost between llmcompressor's
    # layers, and codes are then chosen for inputs that no model has (docs/facts.md)
    rows = [{"input_ids": torch.tensor([row.ids], device=work.place)} for row in work.rows]
    with _unpinned():
        oneshot(
            model=model,
            recipe=_recipe(how),
            dataset=DataLoader(rows, batch_size=None),  # type: ignore[arg-type] # a list will do
            output_dir=str(out),
            clear_sparse_session=True,  # it would keep the model
        )


def _fits(model: CausalLM, group: int) -> None:
    widths = {
        part.in_features
        for layer in model.model.layers
        for part in layer.modules()
        if isinstance(part, torch.nn.Linear)
    }
    wrong = sorted(width for width in widths if width % group)
    if wrong:
        fit = [str(size) for size in GROUPS if math.gcd(*widths) % size == 0]
        others = f"{', '.join(fit)} fit all matrices" if fit else "take a scheme of w8a8"
        raise InputError(
            f"method.group is {group}, which does not divide widths of "
            f"{', '.join(map(str, wrong))} columns: {others}"
        )


def _recipe(how: Oneshot) -> list[Any]:
    """Return llmcompressor's modifiers, in the order in which they are applied."""
    from compressed_tensors.quantization import preset_name_to_scheme
    from llmcompressor.modifiers.gptq import GPTQModifier
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.modifiers.transform.awq import AWQModifier
    from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier

    algorithm, _, bits = how.scheme.partition("_")
    scheme = preset_name_to_scheme(bits.upper(), ["Linear"])
    if scheme.weights is not None and scheme.weights.group_size is not None:
        scheme.weights.group_size = how.group
    settings: dict[str, Any] = {"config_groups": {"group_0": scheme}, "ignore": ["lm_head"]}
    if algorithm == "awq":
        return [AWQModifier(), QuantizationModifier(**settings)]
    if algorithm == "smoothquant":
        return [SmoothQuantModifier(smoothing_strength=SMOOTHING), GPTQModifier(**settings)]
    return [{"rtn": QuantizationModifier, "gptq": GPTQModifier}[algorithm](**settings)]


@contextmanager
def _unpinned() -> Iterator[None]:
    """Leave memory as it is where there is no accelerator.

    llmcompressor 0.14 pins what AWQ reads again and again, which torch refuses without one. Can go
    when `IntermediatesCache.pin_memory` asks whether there is one.
    """
    from llmcompressor.pipelines.cache import IntermediatesCache

    plain = IntermediatesCache.pin_memory
    if not torch.accelerator.is_available():
        IntermediatesCache.pin_memory = lambda *_: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        IntermediatesCache.pin_memory = plain  # type: ignore[method-assign]


def _lost_share(work: Work, weights: packed.Weights) -> float:
    """Return what matrices lose of their outputs, each on what the rounded ones before it give."""
    model, lost = work.model(), list[float]()
    with torch.inference_mode():
        for matrices, product_XX in layers.products(model, work.packs):
            for name, weight in matrices.items():
                made = weights[name].to(weight)
                whole = error(weight, torch.zeros_like(weight), product_XX)
                lost.append(error(weight, made, product_XX) / whole)
                weight.copy_(made)
    return sum(lost) / len(lost)
