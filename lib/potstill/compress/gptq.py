"""Round the matrices of a model to a GGUF type so that errors undo each other (GPTQ).

ggml's quantiser chooses the scales, with the importance of inputs known. Codes are then chosen a
column at a time, those of the most used inputs first, and what a column loses is made up for by the
columns that are still to come, as far as inputs go together in the calibration rows. Layers are
done one after another, each on what the rounded ones before it give. The embedding, which is the
head of these models, is left to ggml's quantiser.

Source: Frantar et al. 2022 (GPTQ, arXiv:2210.17323, algorithm 1), with the order of its authors'
`--act-order` under scales that are chosen before (`--static-groups`).

Dimensions: R rows, X inputs of a matrix, T tokens of a line.
"""

from collections.abc import Sequence

import numpy as np
import torch

from potstill.compress import grids, layers
from potstill.compress import importance as method
from potstill.compress.grids import Grid
from potstill.compress.recipe import Gptq
from potstill.compress.work import Metrics, Work
from potstill.hints import blocks, importance, tensor_types
from potstill.loading.load import CausalLM
from potstill.models import checkpoint
from potstill.students import rounding, sizes
from potstill.tokens.packing import Pack

# matrices of a layer that read the same inputs, in the order in which they are used
GROUPS = (
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    ("self_attn.o_proj",),
    ("mlp.gate_proj", "mlp.up_proj"),
    ("mlp.down_proj",),
)
COLUMNS = 128  # whose errors are passed on together


def compress(work: Work) -> Metrics:
    """Write the rounded weights, their blocks and all matrices' types.

    Raises:
        InputError: a quantisation without a rule.
    """
    how = work.recipe.method
    assert isinstance(how, Gptq)
    model = work.model()
    config = checkpoint.read_config(work.source)
    known = method.measure(model, work.packs)
    types = {
        name: sizes.stored_type(name, list(w.shape), config, how.quantisation, important=True)
        for name, w in model.named_parameters() if w.ndim == 2
    }  # fmt: skip
    made: blocks.Blocks = {}
    lost: dict[str, list[float]] = {"plain": [], "made": []}
    with torch.inference_mode():
        for name, weight in model.named_parameters():
            if name in types and ".layers." not in name and types[name] in grids.KINDS:
                made[name] = rounding.quantised(_array(weight), types[name], known.get(name))
                weight.copy_(torch.from_numpy(grids.values(made[name], types[name])))
        states = [layers.embedded(model, pack) for pack in work.packs]
        for number in range(len(model.model.layers)):
            for group in GROUPS:
                names = [f"model.layers.{number}.{part}.weight" for part in group]
                wanted = [name for name in names if types[name] in grids.KINDS]
                if not wanted:
                    continue
                product_XX = products(model, work.packs, states, number, group[0])
                for name in wanted:
                    weight = model.get_parameter(name)
                    found = grids.grid(_array(weight), types[name], known[name])
                    codes_RX = choose(weight.float(), product_XX, found, how.damping)
                    made[name] = found.with_codes(codes_RX)
                    rounded = torch.from_numpy(grids.values(made[name], types[name])).to(weight)
                    plain = torch.from_numpy(grids.values(found.blocks_Rn, types[name])).to(weight)
                    whole = error(weight, torch.zeros_like(weight), product_XX)
                    lost["plain"].append(error(weight, plain, product_XX) / whole)
                    lost["made"].append(error(weight, rounded, product_XX) / whole)
                    weight.copy_(rounded)
            states = [
                layers.through(model, pack, state, number)
                for pack, state in zip(work.packs, states, strict=True)
            ]
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


def products(
    model: CausalLM, packs: Sequence[Pack], states: Sequence[torch.Tensor], layer: int, part: str
) -> torch.Tensor:
    """Return the mean over tokens of x x^T [X, X], x what a part of a layer reads, float32."""
    total_XX: torch.Tensor | None = None
    tokens = 0

    def add(_: object, inputs: tuple[torch.Tensor, ...]) -> None:
        nonlocal total_XX, tokens
        x_TX = inputs[0].flatten(0, -2).float()
        own_XX = x_TX.T @ x_TX
        total_XX = own_XX if total_XX is None else total_XX.add_(own_XX)
        tokens += len(x_TX)

    module = model.model.layers[layer].get_submodule(part)
    hook = module.register_forward_pre_hook(add)
    try:
        for pack, state in zip(packs, states, strict=True):
            layers.run(model, pack, state, [layer])
    finally:
        hook.remove()
    assert total_XX is not None, "there are calibration rows"
    return total_XX.div_(tokens)


def choose(
    weight_RX: torch.Tensor, product_XX: torch.Tensor, grid: Grid, damping: float
) -> np.ndarray:
    """Return codes [R, X], uint8.

    Args:
        weight_RX: float32.
        product_XX: see `products`.
        grid: what each value can become.
        damping: share of the mean square of an input that is added to each, so that inputs which
            hardly differ do not make up for each other without end.
    """
    order_X = torch.argsort(product_XX.diagonal(), descending=True, stable=True)
    factor_XX = _factor(product_XX[order_X][:, order_X].double(), damping).float()
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


def error(weight_RX: torch.Tensor, other_RX: torch.Tensor, product_XX: torch.Tensor) -> float:
    """Return the sum over outputs of the mean square by which two matrices differ in them."""
    off_RX = weight_RX.float() - other_RX.float()
    return float(((off_RX @ product_XX) * off_RX).sum())


def _factor(product_XX: torch.Tensor, damping: float) -> torch.Tensor:
    """Return the upper factor U of the inverse: U^T U = (product + damping)^-1."""
    square_X = product_XX.diagonal()
    added = damping * square_X.mean() + torch.finfo(torch.float32).tiny
    held_XX = product_XX.clone()
    held_XX.diagonal().add_(added)
    inverse_XX = torch.cholesky_inverse(torch.linalg.cholesky(held_XX))
    return torch.linalg.cholesky(inverse_XX, upper=True)


def _array(weight: torch.Tensor) -> np.ndarray:
    found: np.ndarray = weight.detach().float().cpu().numpy()
    return found
