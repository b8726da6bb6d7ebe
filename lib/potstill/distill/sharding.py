"""A model whose weights, gradients and moments are shared among ranks (FSDP2, as ZeRO-3).

Each rank holds its part of every tensor. A layer is gathered when it is computed and its gradients
are summed over ranks into parts; each rank computes some of a step's rows. With one rank nothing
here changes anything.

Sources: Rajbhandari et al. 2020 (ZeRO, arXiv:1910.02054), by `torch.distributed.fsdp.fully_shard`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from potstill.distill import ranks
from potstill.loading.load import CausalLM
from potstill.tokens import packing
from potstill.tokens.examples import Example


class Sums(Protocol):
    """Sums over rows, of which one, the loss, is differentiated."""

    def columns(self) -> dict[str, torch.Tensor]:
        """Return them by name."""
        ...


Loss = Callable[..., Sums]  # of a model and what follows it


class _Forward(torch.nn.Module):
    """A model as the module that is called: what no layer holds is gathered for the call."""

    def __init__(self, model: CausalLM) -> None:
        super().__init__()
        self.model = model

    def forward(self, loss: Loss, *args: object) -> dict[str, torch.Tensor]:
        sums = loss(self.model, *args).columns()
        return {name: total.clone() for name, total in sums.items()}  # hooks hang on no view


def shard(model: CausalLM) -> Callable[..., dict[str, torch.Tensor]]:
    """Share a model among the ranks, in place; its parameters are other objects afterwards.

    Returns:
        A function that calls a loss with the model and what it takes after it, and returns the
        columns of its sums. All ranks must call it, and differentiate, the same number of times.
    """
    if ranks.count() == 1:
        return lambda loss, *args: loss(model, *args).columns()
    mesh = init_device_mesh(next(model.parameters()).device.type, (ranks.count(),))
    whole = _Forward(model)
    for module in (*model.model.layers, whole):
        fully_shard(module, mesh=mesh)
    for module in whole.modules():
        if isinstance(module, FSDPModule):  # a sum: the loss is of the whole batch
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    return whole


def passes(
    rows: Sequence[Example], tokens: int, read: packing.Read = packing.itself
) -> Iterator[tuple[list[Example], float]]:
    """Yield this rank's passes over a step's rows, and what each counts: 1, or 0 for a filler.

    Every rank has about equally many tokens. All ranks make equally many passes, since a pass
    gathers what others hold; who has fewer computes a row for nothing.

    Args:
        rows: of the step.
        tokens: of a pass, see `packing.passes`.
        read: what is read for a row.
    """
    dealt = [
        packing.passes(share, tokens, read) for share in packing.shares(rows, ranks.count(), read)
    ]
    own = dealt[ranks.rank()]
    yield from ((part, 1.0) for part in own)
    filler = [min(rows, key=lambda row: packing.num_tokens(read(row)))]
    yield from [(filler, 0.0)] * (max(map(len, dealt)) - len(own))


def summed(values: Mapping[str, float]) -> dict[str, float]:
    """Return sums over ranks: the same on every rank, no number if one of them has none."""
    if ranks.count() == 1:
        return dict(values)
    total = torch.tensor(list(values.values()), dtype=torch.float64)
    distributed.all_reduce(total)
    return dict(zip(values, total.tolist(), strict=True))


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """Return all of a tensor that may be shared; every rank has to ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def part(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Return this rank's part of what every rank has, shared as another of its shape is."""
    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor
    place = tensor.to(like.device)
    return distribute_tensor(place, like.device_mesh, like.placements, src_data_rank=None)


def gathered(tensors: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield all of each tensor by name on rank 0, and nothing on others, which have to ask too."""
    for name, tensor in tensors.items():
        found = whole(tensor.detach())
        if ranks.rank() == 0:
            yield name, found
