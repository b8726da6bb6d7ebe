"""Round the matrices of a model to a GGUF type so that errors undo each other (GPTQ).

ggml's quantiser chooses the scales, with the importance of inputs known. Codes are then chosen a
column at a time, those of the most used inputs first, and what a column loses is made up for by the
columns that are still to come, as far as inputs go together in the calibration rows. Layers are
done one after another, each on what the rounded ones before it give. Embedding and head are left to
ggml's quantiser.

Source: Frantar et al. 2022 (GPTQ, arXiv:2210.17323, algorithm 1), with the order of its authors'
`--act-order` under scales that are chosen before (`--static-groups`).

Dimensions: R rows, X inputs of a matrix.
"""

from pathlib import Path

import numpy as np
import torch

from potstill.compress import Metrics, grids, layers
from potstill.compress import importance as method
from potstill.compress.grids import Grid
from potstill.compress.recipe import DAMPING, Gptq
from potstill.compress.second_order import error, factor
from potstill.compress.work import Work
from potstill.errors import InputError
from potstill.hints import blocks, importance, tensor_types
from potstill.models import checkpoint
from potstill.students import rounding, sizes

COLUMNS = 128  # whose errors are passed on together


def compress(work: Work) -> Metrics:
    """Write the rounded weights, their blocks and all matrices' types.

    Raises:
        InputError: a quantisation without a rule or without blocks, or types that the source does
            not state.
    """
    how = work.recipe.method
    assert isinstance(how, Gptq)
    model = work.model()
    config = checkpoint.read_config(work.source)
    known = method.measure(model, work.packs)
    types = _types(work.source, how.quantisation)
    if not set(types.values()) & set(grids.KINDS):
        raise InputError(
            f"method.quantisation is {how.quantisation}: it stores each number for itself, and "
            "nothing is rounded: take q4_0, q4_k_m or another with blocks"
        )
    made: blocks.Blocks = {}
    lost: dict[str, list[float]] = {"plain": [], "made": []}
    with torch.inference_mode():
        for name, weight in model.named_parameters():
            if name in types and ".layers." not in name and types[name] in grids.KINDS:
                made[name] = rounding.quantised(_array(weight), types[name], known.get(name))
                weight.copy_(torch.from_numpy(blocks.values(made[name], types[name])))
        for matrices, product_XX in layers.products(model, work.packs):
            for name, weight in matrices.items():
                if types[name] not in grids.KINDS:
                    continue
                plain, made[name] = blocks_of(
                    weight, product_XX, types[name], known[name], how.damping
                )
                whole = error(weight, torch.zeros_like(weight), product_XX)
                for which, held in (("plain", plain), ("made", made[name])):
                    other = torch.from_numpy(blocks.values(held, types[name])).to(weight)
                    lost[which].append(error(weight, other, product_XX) / whole)
                weight.copy_(other)  # what was made
    state = {name: weight.detach().cpu() for name, weight in model.named_parameters()}
    checkpoint.write(work.out, state, config, beside=work.source)
    importance.write(work.out, known)
    tensor_types.write(work.out, types)
    blocks.write(work.out, made)
    return {
        "quantisation": how.quantisation,
        "matrices": len(made),
        # of the outputs' squares on the calibration rows, in the mean over matrices
        "lost_share": round(float(np.mean(lost["made"])), 8),
        "lost_share_plain": round(float(np.mean(lost["plain"])), 8),
    }


def _types(source: Path, quantisation: str) -> tensor_types.Types:
    """Return the type of each matrix: llama.cpp's choice, or what the source states."""
    if quantisation == tensor_types.STATED:
        return tensor_types.read(source)
    config = checkpoint.read_config(source)
    return {
        name: sizes.stored_type(name, shape, config, quantisation, important=True)
        for name, shape in checkpoint.shapes(source).items()
        if len(shape) == 2
    }


def blocks_of(
    weight_RX: torch.Tensor,
    product_XX: torch.Tensor,
    kind: str,
    importance_X: np.ndarray | None,
    damping: float = DAMPING,
) -> tuple[np.ndarray, np.ndarray]:
    """Return a matrix as ggml's blocks, and as the same blocks with codes that undo errors.

    Args:
        weight_RX: float32.
        product_XX: see `layers.products`.
        kind: ggml's name of a type, of `grids.KINDS`.
        importance_X: see `rounding.quantised`.
        damping: see `second_order.factor`.
    """
    found = grids.grid(_array(weight_RX), kind, importance_X)
    return found.blocks_Rn, found.with_codes(choose(weight_RX, product_XX, found, damping))


def choose(
    weight_RX: torch.Tensor, product_XX: torch.Tensor, grid: Grid, damping: float
) -> np.ndarray:
    """Return codes [R, X], uint8.

    Args:
        weight_RX: float32.
        product_XX: see `layers.products`.
        grid: what each value can become.
        damping: see `second_order.factor`.
    """
    order_X = torch.argsort(product_XX.diagonal(), descending=True, stable=True)
    factor_XX = factor(product_XX[order_X][:, order_X], damping)
    left_RX = weight_RX[:, order_X].clone()
    scale_RX, offset_RX = (
        torch.from_numpy(x).to(left_RX)[:, order_X] for x in (grid.scale_RX, grid.offset_RX)
    )
    level_L = torch.from_numpy(grid.level_L).to(left_RX)
    middle_L = (level_L[1:] + level_L[:-1]) / 2
    codes_RX = torch.empty_like(left_RX, dtype=torch.uint8)
    for begin in range(0, left_RX.shape[1], COLUMNS):
        part = slice(begin, min(begin + COLUMNS, left_RX.shape[1]))
        missed_RC = torch.zeros_like(left_RX[:, part])
        for at in range(part.start, part.stop):
            scale_R, offset_R = scale_RX[:, at], offset_RX[:, at]
            safe_R = torch.where(scale_R == 0, 1, scale_R)
            wanted_R = (left_RX[:, at] - offset_R) / safe_R
            code_R = torch.bucketize(wanted_R, middle_L)
            codes_RX[:, at] = code_R
            missed_R = (left_RX[:, at] - offset_R - scale_R * level_L[code_R]) / factor_XX[at, at]
            left_RX[:, at : part.stop] -= missed_R[:, None] * factor_XX[at, at : part.stop]
            missed_RC[:, at - begin] = missed_R
        left_RX[:, part.stop :] -= missed_RC @ factor_XX[part, part.stop :]
    found_RX = torch.empty_like(codes_RX)
    found_RX[:, order_X] = codes_RX
    result: np.ndarray = found_RX.cpu().numpy()
    return result


def _array(weight: torch.Tensor) -> np.ndarray:
    found: np.ndarray = weight.detach().float().cpu().numpy()
    return found
