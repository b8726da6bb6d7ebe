"""Set weights of the layers' matrices to zero, each matrix by the same share.

    magnitude   the smallest of a matrix: the control
    wanda       the smallest of each row, each weight times the root mean square of its input
    sparsegpt   those of a few columns whose loss others make up for best, column after column

Layers are done one after another, each on what the sparse ones before it give. Zeros take no fewer
bytes in any format that is exported here, and no less time: they are for recovery
(`training.keep_zeros`) and for hardware that skips two of four.

Sources: Sun et al. 2024 (Wanda, arXiv:2306.11695, eq. 1) and Frantar & Alistarh 2023 (SparseGPT,
arXiv:2301.00774, algorithm 1), both as llmcompressor computes them.

Dimensions: R rows, X inputs of a matrix.
"""

import torch

from potstill.compress import Metrics, layers
from potstill.compress.recipe import Sparse
from potstill.compress.second_order import error
from potstill.compress.work import Work
from potstill.models import checkpoint

COLUMNS = 128  # among which sparsegpt chooses together


def compress(work: Work) -> Metrics:
    """Write the checkpoint with zeros."""
    how = work.recipe.method
    assert isinstance(how, Sparse)
    model = work.model()
    lost, zeros, count = [], 0, 0
    with torch.inference_mode():
        for matrices, product_XX in layers.products(model, work.packs):
            for weight in matrices.values():
                made = cut(weight, product_XX, how)
                whole = error(weight, torch.zeros_like(weight), product_XX)
                lost.append(error(weight, made, product_XX) / whole)
                weight.copy_(made)
                zeros, count = zeros + int((made == 0).sum()), count + made.numel()
    state = {name: weight.detach().cpu() for name, weight in model.named_parameters()}
    checkpoint.write(work.out, state, checkpoint.read_config(work.source), beside=work.source)
    return {
        "way": how.way,
        "zero_share": round(zeros / count, 6),
        # of the outputs' squares on the calibration rows, in the mean over matrices
        "lost_share": round(sum(lost) / len(lost), 8),
    }


@torch.no_grad()
def cut(weight_RX: torch.Tensor, product_XX: torch.Tensor, how: Sparse) -> torch.Tensor:
    """Return a matrix with zeros.

    Args:
        weight_RX: float32.
        product_XX: see `layers.products`.
        how: share and way.
    """
    gone, group = (2, 4) if how.of_four else (0, 0)
    rows, inputs = weight_RX.shape
    module: torch.nn.Module = torch.nn.Linear(inputs, rows, bias=False, dtype=weight_RX.dtype)
    module.weight = torch.nn.Parameter(weight_RX.clone(), requires_grad=False)
    if how.way == "sparsegpt":
        from llmcompressor.modifiers.pruning.sparsegpt import sgpt_sparsify

        products = {module: product_XX.clone()}
        _, made = sgpt_sparsify.sparsify_weight(
            module, products, how.share, gone, group, COLUMNS, how.damping, False
        )
        result: torch.Tensor = made
        return result
    from llmcompressor.modifiers.pruning.wanda import wanda_sparsify

    squares = product_XX.diagonal() if how.way == "wanda" else torch.ones(inputs)
    if how.way == "wanda" or how.of_four:
        found: torch.Tensor = wanda_sparsify.sparsify_weight(
            module, {module: squares.clone()}, how.share, gone, group
        )
        return found
    lowest = weight_RX.abs().flatten().argsort(stable=True)[: round(how.share * rows * inputs)]
    return weight_RX.flatten().index_fill(0, lowest, 0).view_as(weight_RX)
