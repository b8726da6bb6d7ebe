"""Choose a type for every matrix of a GGUF file under a number of bytes, by measured loss.

Each matrix is rounded by itself to the coarsest type that it may have, with the importance of its
inputs known, and the model runs from there on: KL(whole || rounded) in nats an answer token, on a
few calibration rows. Of finer types the KL is taken to fall as the squares of the errors do,
weighed by importance; and that of several matrices to add up. Both hold near zero where errors have
nothing to do with each other; what all of them do together is measured and stands beside. The
cheapest choice is exact: a small integer program.

Sources: Dong et al. 2020 (HAWQ-V2, arXiv:1911.03852: one setting a layer under a budget by the sum
of its parts, there by curvature); scipy.optimize.milp (HiGHS).

Dimensions: T tokens of a line, N answer tokens, D width, V vocabulary.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch.nn import functional

from potstill.compress import Metrics, layers
from potstill.compress import importance as method
from potstill.compress.recipe import Mixed
from potstill.compress.work import Work
from potstill.errors import InputError
from potstill.hints import importance, tensor_types
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
    costs = measured(model, packs, kinds, known)
    chosen = best(costs, num_bytes, room)
    together = divergence(model, packs, chosen, known)
    work.link()
    importance.write(work.out, known)
    tensor_types.write(work.out, chosen)
    return {
        "budget_bytes": how.bytes,
        "predicted_bytes": sizes.bytes_with(config, chosen, vocabulary),
        "predicted_kl_nats": round(sum(costs[n][kind] for n, kind in chosen.items()), 8),
        "together_kl_nats": round(together, 8),
        "measured_tokens": sum(len(pack.answers_N) for pack in packs),
    }


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
    model: CausalLM, packs: Sequence[Pack], kinds: Mapping[str, Sequence[str]], known: Importance
) -> Costs:
    """Return what rounding each matrix by itself costs, in nats a token; see the module."""
    weights = dict(model.named_parameters())
    tokens = sum(len(pack.answers_N) for pack in packs)
    costs: Costs = {}
    with torch.inference_mode():
        lost = {
            name: {kind: _lost(weights[name], kind, known.get(name)) for kind in some}
            for name, some in kinds.items()
        }
        coarsest = {name: max(each, key=each.__getitem__) for name, each in lost.items()}
        nats = dict.fromkeys(kinds, 0.0)
        for pack in packs:
            states = model.model(**pack.inputs, output_hidden_states=True).hidden_states
            whole_NV = _log_probs(model, pack, states[-1])
            for name, kind in coarsest.items():
                layer = int(name.split(".")[2]) if ".layers." in name else None
                with _rounded(weights[name], kind, known.get(name)):
                    last_1TD = _from(model, pack, states, layer)
                    rounded_NV = _log_probs(model, pack, last_1TD)
                nats[name] += _kl(whole_NV, rounded_NV) / tokens
    for name, each in lost.items():
        most = each[coarsest[name]] or 1.0  # nothing is lost: nothing costs
        costs[name] = {kind: nats[name] * value / most for kind, value in each.items()}
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
                stack.enter_context(_rounded(weights[name], kind, known.get(name)))
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


def _lost(weight: torch.Tensor, kind: str, known: np.ndarray | None) -> float:
    """Return the squares of a matrix's errors in a type, weighed by importance."""
    off = (_round(weight, kind, known).to(weight) - weight.float()).square()
    return float((off if known is None else off * torch.from_numpy(known).to(off)).sum())


def _round(weight: torch.Tensor, kind: str, known: np.ndarray | None) -> torch.Tensor:
    return torch.from_numpy(rounding.round_trip(weight.float().cpu().numpy(), kind, known))


@contextmanager
def _rounded(weight: torch.Tensor, kind: str, known: np.ndarray | None) -> Iterator[None]:
    """Let a matrix be what its type stores of it."""
    kept = weight.clone()
    weight.copy_(_round(weight, kind, known))
    try:
        yield
    finally:
        weight.copy_(kept)
