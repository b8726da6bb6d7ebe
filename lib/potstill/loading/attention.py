"""Attention of rows that stand in one line, each with what it begins with alike read only once.

A run of tokens sees runs before it (what the rows share) and itself up to each token. On a CPU it
is a few small products a run: nothing is computed for padding or for another row, and no [T, T]
matrix of the whole line exists. Probabilities are computed again for the gradient, so that memory
grows with tokens and not with their square. Other devices, and calls without runs, go to
transformers' own function, to which a mask says the same (benchmarks/packing.py).

Dimensions: H query heads, G key heads, R = H / G, T tokens of the line, n of a run, K that it
sees, D width of a head.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from potstill.loading.head import product_dtype

NAME = "runs"
Place = tuple[int, int]  # first token in the line, one past the last


@dataclass(frozen=True)
class Run:
    """Tokens that follow one another, and what stands before them.

    Attributes:
        begin: place of the first in the line.
        end: one past the last.
        before: where the tokens stand that they see besides, in the order of their positions.
    """

    begin: int
    end: int
    before: tuple[Place, ...] = ()

    @property
    def seen(self) -> Iterator[tuple[Place, slice]]:
        """Yield the places of all that the run sees, and where each stands among these."""
        at = 0
        for begin, end in (*self.before, (self.begin, self.end)):
            yield (begin, end), slice(at, at + end - begin)
            at += end - begin


def register() -> str:
    """Make the function known to transformers; return the name for `attn_implementation`."""
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface
    from transformers.modeling_utils import AttentionInterface

    AttentionInterface.register(NAME, _forward)
    AttentionMaskInterface.register(NAME, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    return NAME


def _forward(
    module: torch.nn.Module,
    query_1HTD: torch.Tensor,
    key_1GTD: torch.Tensor,
    value_1GTD: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    runs: Sequence[Run] | None = None,
    **others: Any,  # noqa: ANN401 - transformers' own
) -> tuple[torch.Tensor, None]:
    """Return [1, T, H, D]; the signature is that of transformers' `sdpa_attention_forward`."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if runs is not None and query_1HTD.device.type == "cpu" and not dropout:
        scale = scaling if scaling is not None else query_1HTD.shape[-1] ** -0.5
        dtype = product_dtype(query_1HTD)
        query, key, value = (x[0].to(dtype) for x in (query_1HTD, key_1GTD, value_1GTD))
        return attend(query, key, value, runs, scale)[None], None
    result: tuple[torch.Tensor, None] = sdpa_attention_forward(
        module,
        query_1HTD,
        key_1GTD,
        value_1GTD,
        attention_mask,
        dropout=dropout,
        scaling=scaling,
        **others,
    )
    return result


def attend(
    query_HTD: torch.Tensor,
    key_GTD: torch.Tensor,
    value_GTD: torch.Tensor,
    runs: Sequence[Run],
    scale: float,
) -> torch.Tensor:
    """Return softmax(scale * q k^T) v of each token over what its run lets it see, [T, H, D].

    What all keys share is taken off them first: it moves all scores of a query alike, which softmax
    ignores and rounding does not. Qwen2's biases make it large: without this the KL to float32
    doubles in bfloat16. Source: Zhang et al. 2024 (SageAttention, "smooth K").

    Args:
        query_HTD: of every token of the line; every one is in one run.
        key_GTD: heads that share keys stand one after the other, as in transformers' `repeat_kv`.
        value_GTD: as the keys.
        runs: who sees whom.
        scale: of the products.
    """
    key_GTD = key_GTD - key_GTD.detach().mean(1, keepdim=True)
    out_THD: torch.Tensor = _Attend.apply(query_HTD, key_GTD, value_GTD, runs, scale)
    return out_THD


class _Attend(torch.autograd.Function):
    """Gradients of what many runs see are added in float32 at least."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's context has no type
        query_HTD: torch.Tensor,
        key_GTD: torch.Tensor,
        value_GTD: torch.Tensor,
        runs: Sequence[Run],
        scale: float,
    ) -> torch.Tensor:
        ctx.save_for_backward(query_HTD, key_GTD, value_GTD)
        ctx.how = runs, scale
        H, T, D = query_HTD.shape
        out_THD = query_HTD.new_empty(T, H, D)
        for run in runs:
            query, key, value = _of(run, query_HTD, key_GTD, value_GTD)
            made = torch.bmm(_probabilities(query, key, run, scale), value)
            out_THD[run.begin : run.end] = made.view(H, -1, D).transpose(0, 1)
        return out_THD

    @staticmethod
    def backward(ctx: Any, slope_THD: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # noqa: ANN401
        (runs, scale), (query_HTD, key_GTD, value_GTD) = ctx.how, ctx.saved_tensors
        H, _, D = query_HTD.shape
        exact = torch.promote_types(query_HTD.dtype, torch.float32)
        to_query = torch.empty_like(query_HTD)
        to_key, to_value = (torch.zeros_like(x, dtype=exact) for x in (key_GTD, value_GTD))
        slope_HTD = slope_THD.transpose(0, 1)
        for run in runs:
            query, key, value = _of(run, query_HTD, key_GTD, value_GTD)
            slope = _own(run, slope_HTD, len(key_GTD))
            probability = _probabilities(query, key, run, scale)
            to_probability = torch.bmm(slope, value.transpose(1, 2))
            to_score = torch._softmax_backward_data(
                to_probability, probability, -1, probability.dtype
            ).mul_(scale)
            to_query[:, run.begin : run.end] = torch.bmm(to_score, key).view(H, -1, D)
            for whole, part in (
                (to_key, torch.bmm(to_score.transpose(1, 2), query)),
                (to_value, torch.bmm(probability.transpose(1, 2), slope)),
            ):
                for (begin, end), among in run.seen:
                    whole[:, begin:end] += part[:, among]
        return to_query, to_key.to(key_GTD.dtype), to_value.to(value_GTD.dtype), None, None


def _own(run: Run, whole_HTD: torch.Tensor, groups: int) -> torch.Tensor:
    """Return a run's tokens [G, R * n, D]: heads that share keys are rows of one product."""
    return whole_HTD[:, run.begin : run.end].reshape(groups, -1, whole_HTD.shape[-1])


def _of(run: Run, query_HTD: torch.Tensor, *seen_GTD: torch.Tensor) -> list[torch.Tensor]:
    """Return a run's queries [G, R * n, D], and of the others what it sees [G, K, D]."""
    found = [
        torch.cat([x[:, begin:end] for (begin, end), _ in run.seen], 1)
        if run.before
        else x[:, run.begin : run.end]
        for x in seen_GTD
    ]
    return [_own(run, query_HTD, len(found[0])), *found]


def _probabilities(query: torch.Tensor, key: torch.Tensor, run: Run, scale: float) -> torch.Tensor:
    """Return [G, R * n, K]; the last n of what a run sees are its own tokens."""
    own, seen = run.end - run.begin, key.shape[1]
    score = torch.bmm(query, key.transpose(1, 2)).mul_(scale)
    ahead = torch.ones(own, own, dtype=torch.bool).triu_(1)
    score.view(-1, own, seen)[..., seen - own :].masked_fill_(ahead, -torch.inf)
    return torch.softmax(score, -1)
