"""Choose a type for every matrix of a GGUF file under a number of bytes, by measured loss.

Each matrix is rounded by itself to the coarsest type that it may have, and the model runs from
there on: KL(whole || rounded) in nats an answer token, on a few calibration rows. Of finer types
the KL is taken to fall as the squares of the errors do, weighed by importance; and that of several
matrices to add up. Both hold near zero where errors have nothing to do with each other. The
cheapest choice is exact: a small integer program.

Codes that are the nearest, each for itself, err together: what all matrices do is then two to three
times the sum (docs/facts.md). So costs are of codes that `gptq` chooses, which is to follow. Of
nearest ones, which can be asked for, what all do together is measured and stands beside.

Sources: Dong et al. 2020 (HAWQ-V2, arXiv:1911.03852: one setting a layer under a budget by the sum
of its parts, there by curvature); scipy.optimize.milp (HiGHS).

Dimensions: T tokens of a line, N answer tokens, D width, V vocabulary.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch.nn import functional

from potstill.compress import Metrics, gptq, grids, layers
from potstill.compress import importance as method
from potstill.compress.recipe import Mixed
from potstill.compress.work import Work
from potstill.errors import InputError
from potstill.hints import blocks, importance, tensor_types
from potstill.hints.importance import Importance
from potstill.loading.load import CausalLM
from potstill.models import checkpoint
from potstill.students import rounding, sizes
from potstill.tokens.packing import Pack

Costs = dict[str, dict[str, float]]  # a matrix's name -> type -> nats a token


def compress(work: Work) -> Metrics:
    """Write the same weights with `tensor_types.json` and `importance.safetensors` beside them.

    Raises:
        InputError: the budget is below the smallest choice.
    """
    how = work.recipe.method
    assert isinstance(how, Mixed)
    model = work.model()
    config = checkpoint.read_config(work.source)
    vocabulary = sizes.vocabulary_bytes(work.source, config["vocab_size"])
    shapes = {name: list(w.shape) for name, w in model.named_parameters() if w.ndim == 2}
    kinds = {name: fitting(shape, how.types) for name, shape in shapes.items()}
    num_bytes = {
        name: {kind: sizes.tensor_bytes(shapes[name], kind) for kind in some}
        for name, some in kinds.items()
    }
    smallest = {name: min(each, key=each.__getitem__) for name, each in num_bytes.items()}
    least = sizes.bytes_with(config, smallest, vocabulary)
    room = how.bytes - least + sum(num_bytes[name][kind] for name, kind in smallest.items())
    if least > how.bytes:
        raise InputError(
            f"method.bytes is {how.bytes:,}: the smallest file of these types has {least:,}"
        )
    known = method.measure(model, work.packs)
    packs = work.packs[: how.measured_packs]
    products = layers.products(model, work.packs) if how.codes == "gptq" else ()
    costs = measured(model, packs, kinds, known, products)
    chosen = best(costs, num_bytes, room)
    work.link()
    importance.write(work.out, known)
    tensor_types.write(work.out, chosen)
    metrics: Metrics = {
        "budget_bytes": how.bytes,
        "predicted_bytes": sizes.bytes_with(config, chosen, vocabulary),
        "predicted_kl_nats": round(sum(costs[n][kind] for n, kind in chosen.items()), 8),
        "measured_tokens": sum(len(pack.answers_N) for pack in packs),
    }
    if how.codes == "nearest":
        metrics["together_kl_nats"] = round(divergence(model, packs, chosen, known), 8)
    return metrics


def fitting(shape: Sequence[int], types: Sequence[str]) -> list[str]:
    """Return the types whose blocks divide the rows of a matrix; F16 where none does."""
    return [kind for kind in types if shape[-1] % sizes.TYPES[kind][0] == 0] or ["F16"]


def best(
    costs: Mapping[str, Mapping[str, float]], num_bytes: Mapping[str, Mapping[str, int]], room: int
) -> dict[str, str]:
    """Return the type of each matrix: the least sum of costs whose bytes fit."""
    from scipy import optimize, sparse

    pairs = [(name, kind) for name, some in costs.items() for kind in some]
    rows = {name: number for number, name in enumerate(costs)}
    once = sparse.csr_matrix(
        (np.ones(len(pairs)), ([rows[name] for name, _ in pairs], range(len(pairs))))
    )
    weight = np.array([[num_bytes[name][kind] for name, kind in pairs]], float)
    found = optimize.milp(
        [costs[name][kind] for name, kind in pairs],
        integrality=np.ones(len(pairs)),
        bounds=optimize.Bounds(0, 1),
        constraints=[
            optimize.LinearConstraint(once, 1, 1),
            optimize.LinearConstraint(weight / room, -np.inf, 1),
        ],
    )
    assert found.success, found.message
    return {name: kind for (name, kind), taken in zip(pairs, found.x > 0.5, strict=True) if taken}


def measured(
    model: CausalLM,
    packs: Sequence[Pack],
    kinds: Mapping[str, Sequence[str]],
    known: Importance,
    products: layers.Products = (),
) -> Costs:
    """Return what rounding each matrix by itself costs, in nats a token; see the module.

    Args:
        model: float32; it has its own weights again at the end.
        packs: on which KL is measured.
        kinds: types that each matrix may have.
        known: how much each input of a matrix is used.
        products: of the model, for codes of `gptq`; other matrices have the nearest.
    """
    weights = dict(model.named_parameters())
    tokens = sum(len(pack.answers_N) for pack in packs)
    costs: Costs = {}
    with torch.inference_mode():
        states = [model.model(**p.inputs, output_hidden_states=True).hidden_states for p in packs]
        whole = [
            _log_probs(model, *each) for each in zip(packs, (s[-1] for s in states), strict=True)
        ]

        def cost(name: str, product_XX: torch.Tensor | None = None) -> dict[str, float]:
            weight, importance_X = weights[name], known.get(name)
            lost, coarsest, made = _coarsest(weight, kinds[name], importance_X)
            if product_XX is not None and coarsest in grids.KINDS:
                held = gptq.blocks_of(weight, product_XX, coarsest, importance_X)[1]
                made = torch.from_numpy(blocks.values(held, coarsest))
            layer = int(name.split(".")[2]) if ".layers." in name else None
            with _replaced(weight, made):
                found = [
                    _log_probs(model, pack, _from(model, pack, own, layer))
                    for pack, own in zip(packs, states, strict=True)
                ]
            nats = sum(map(_kl, whole, found)) / tokens
            most = lost[coarsest] or 1.0  # nothing is lost: nothing costs
            return {kind: nats * value / most for kind, value in lost.items()}

        for matrices, product_XX in products:
            costs |= {name: cost(name, product_XX) for name in matrices}
        costs |= {name: cost(name) for name in kinds if name not in costs}
    return costs


def divergence(
    model: CausalLM, packs: Sequence[Pack], types: Mapping[str, str], known: Importance
) -> float:
    """Return KL(whole || rounded) in nats a token where every matrix has its type."""
    weights = dict(model.named_parameters())
    with torch.inference_mode():
        whole = [_log_probs(model, pack, _from(model, pack, (), None)) for pack in packs]
        with ExitStack() as stack:
            for name, kind in types.items():
                made = _round(weights[name], kind, known.get(name))
                stack.enter_context(_replaced(weights[name], made))
            rounded = [_log_probs(model, pack, _from(model, pack, (), None)) for pack in packs]
    return sum(map(_kl, whole, rounded)) / sum(map(len, whole))


def _from(
    model: CausalLM, pack: Pack, states: Sequence[torch.Tensor], layer: int | None
) -> torch.Tensor:
    """Return the last hidden states, computed from what a layer reads; None: from the ids."""
    if layer is None:
        last_1TD: torch.Tensor = model.model(**pack.inputs).last_hidden_state
        return last_1TD
    return layers.run(model, pack, states[layer], range(layer, len(model.model.layers)))


def _log_probs(model: CausalLM, pack: Pack, last_1TD: torch.Tensor) -> torch.Tensor:
    return functional.log_softmax(model.lm_head(pack.predicting(last_1TD)).float(), -1)


def _kl(whole_NV: torch.Tensor, rounded_NV: torch.Tensor) -> float:
    return functional.kl_div(rounded_NV, whole_NV, log_target=True, reduction="sum").item()


def _coarsest(
    weight: torch.Tensor, kinds: Sequence[str], known: np.ndarray | None
) -> tuple[dict[str, float], str, torch.Tensor]:
    """Return what each type loses of a matrix, the type that loses most, and what it makes of it.

    Of all that are rounded no more than two are in memory.
    """
    lost: dict[str, float] = {}
    for kind in kinds:
        rounded = _round(weight, kind, known)
        lost[kind] = _lost(weight, rounded, known)
        if max(lost, key=lost.__getitem__) == kind:
            coarsest, made = kind, rounded
    return lost, coarsest, made


def _lost(weight: torch.Tensor, rounded: torch.Tensor, known: np.ndarray | None) -> float:
    """Return the squares of a matrix's errors, weighed by importance."""
    off = (rounded.to(weight) - weight.float()).square()
    return float((off if known is None else off * torch.from_numpy(known).to(off)).sum())


def _round(weight: torch.Tensor, kind: str, known: np.ndarray | None) -> torch.Tensor:
    return torch.from_numpy(rounding.round_trip(weight.float().cpu().numpy(), kind, known))


@contextmanager
def _replaced(weight: torch.Tensor, made: torch.Tensor) -> Iterator[None]:
    """Let a matrix be another."""
    kept = weight.clone()
    weight.copy_(made)
    try:
        yield
    finally:
        weight.copy_(kept)
