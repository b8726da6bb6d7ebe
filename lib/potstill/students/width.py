"""Make a student narrower: fewer query heads and fewer channels of the MLP in every layer.

A head is worth what it changes in the loss: the sum over answer tokens of what it writes times the
loss's gradient there, in absolute terms. A channel is worth how much it is used times how much it
writes: its mean size times the norm of its column. The control looks at the weights alone. Which of
the two hurts less is measured, not believed: the model is run with each choice masked.

Each layer keeps its own best heads and channels, the same number in all, so that config.json says
all there is. Of each key and value group the same number of query heads stays; where each head has
keys and values of its own, these go with it.

Sources: Michel et al. 2019 (arXiv:1905.10650, eq. 2) and Molchanov et al. 2019 (arXiv:1906.10771)
for the attribution; Sun et al. 2024 (Wanda, arXiv:2306.11695) for activation times weight.

Dimensions: T tokens, H query heads, K key heads, W a head's width, F channels, D width.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from typing import Any

import torch

from potstill.errors import InputError
from potstill.loading.load import CausalLM
from potstill.models import families
from potstill.students.depth import answer_nll, mean_nll
from potstill.tokens.packing import Pack

BLOCK = 32  # the smallest block of a quantised row: other widths would fall back to larger types
WAYS = ("measured", "weights")  # how parts are scored


@dataclass(frozen=True)
class Widths:
    """What is kept of each layer.

    Attributes:
        num_heads: query heads; None keeps all.
        ffn_width: channels of the MLP; None keeps all.
    """

    num_heads: int | None = None
    ffn_width: int | None = None

    def check(self, config: Mapping[str, Any]) -> None:
        """Refuse what a model of this config.json cannot have.

        Raises:
            InputError: says what is allowed.
        """
        heads, groups = config["num_attention_heads"], families.num_key_heads(config)
        step, each = 1 if groups == heads else groups, families.head_dim(config)
        if self.num_heads not in (None, heads) and not families.of(config).free_heads:
            raise InputError(
                f"num_heads: llama.cpp reads a {config['model_type']} with heads that fill its "
                "width only: cut ffn_width and num_layers instead"
            )
        if self.num_heads is not None and not (
            step <= self.num_heads <= heads and self.num_heads % step == 0
        ):
            raise InputError(
                f"num_heads is {self.num_heads}; allowed are multiples of {step} up to {heads}: of "
                f"each of the {groups} key and value groups as many heads stay"
            )
        if self.num_heads is not None and heads * each % BLOCK == 0 < self.num_heads * each % BLOCK:
            raise InputError(
                f"num_heads is {self.num_heads}, {self.num_heads * each} channels: rows that are "
                f"no multiple of {BLOCK} are not quantised: take another number"
            )
        width = config["intermediate_size"]
        if self.ffn_width not in (None, width) and not (
            BLOCK <= self.ffn_width <= width and self.ffn_width % BLOCK == 0
        ):
            raise InputError(
                f"ffn_width is {self.ffn_width}; allowed are multiples of {BLOCK} up to {width} "
                "(k-quants need multiples of 256, others fall back to a larger type)"
            )


@dataclass(frozen=True)
class Kept:
    """What stays of one layer, ascending.

    Attributes:
        heads: numbers of query heads.
        channels: numbers of the MLP's channels.
    """

    heads: list[int]
    channels: list[int]


def choose(
    model: CausalLM, batches: Sequence[Pack], widths: Widths
) -> tuple[list[Kept], dict[str, float], str]:
    """Return what each layer keeps, the loss of each way of scoring, and the way that was taken.

    Args:
        model: float32 weights; it is whole again at the end.
        batches: calibration rows; scores and losses are of their answers.
        widths: what is wanted; see `Widths.check`.

    Returns:
        The layers' parts; "nll_<way>" in nats a token of the masked model; the way of the lowest:
        "measured" or "weights" and, where heads and channels are cut, one of each, the heads' first
        ("weights_measured").
    """
    config = model.config.to_dict()
    tables = {"measured": _measured(model, batches), "weights": _of_weights(model, config)}
    found = {}
    for pair in itertools.product(WAYS, WAYS):
        ways = [
            way for way, wanted in zip(pair, astuple(widths), strict=True) if wanted is not None
        ]
        heads, channels = (tables[way] for way in pair)
        scores = _Scores(heads.heads_LH, channels.channels_LF)
        found["_".join(ways) or WAYS[0]] = _best(scores, config, widths)
    losses = {}
    for way, kept in found.items():
        with masked(model, kept):
            losses[f"nll_{way}"] = mean_nll(model, batches)
    way = min(found, key=lambda name: (losses[f"nll_{name}"], name))
    return found[way], losses, way


@dataclass
class _Scores:
    heads_LH: list[torch.Tensor]
    channels_LF: list[torch.Tensor]


def _measured(model: CausalLM, batches: Sequence[Pack]) -> _Scores:
    """Return the attribution of heads and the use of channels where answers are predicted."""
    layers = model.model.layers
    head_dim = families.head_dim(model.config.to_dict())
    heads = [torch.zeros(()) for _ in layers]
    used = [torch.zeros(()) for _ in layers]
    for batch in batches:
        seen: dict[tuple[str, int], torch.Tensor] = {}
        hooks = []
        for n, layer in enumerate(layers):
            for name, part in (
                ("heads", layer.self_attn.o_proj),
                ("channels", layer.mlp.down_proj),
            ):
                hooks.append(part.register_forward_pre_hook(_keep(seen, (name, n))))
        try:
            loss = answer_nll(model, batch)
            written = [seen["heads", n] for n in range(len(layers))]
            slopes = torch.autograd.grad(loss, written)
        finally:
            for hook in hooks:
                hook.remove()
        places = batch.before_N.unique()  # what rows share is there once
        for n, (x_1TX, slope_1TX) in enumerate(zip(written, slopes, strict=True)):
            each_TH = (x_1TX * slope_1TX).detach()[0].unflatten(-1, (-1, head_dim)).sum(-1)
            heads[n] = heads[n] + each_TH[places].abs().sum(0)
            used[n] = used[n] + seen["channels", n].detach()[0, places].abs().sum(0)
    norms = [layer.mlp.down_proj.weight.detach().float().norm(dim=0) for layer in layers]
    return _Scores(heads, [one * norm for one, norm in zip(used, norms, strict=True)])


def _keep(seen: dict[tuple[str, int], torch.Tensor], key: tuple[str, int]) -> Callable[..., None]:
    def hook(_: object, inputs: tuple[torch.Tensor, ...]) -> None:
        seen[key] = inputs[0]

    return hook


def _of_weights(model: CausalLM, config: Mapping[str, Any]) -> _Scores:
    """Return the norms of what writes each head and channel."""
    width, heads, channels = families.head_dim(config), [], []
    for layer in model.model.layers:
        columns_DX = layer.self_attn.o_proj.weight.detach().float()
        heads.append(columns_DX.unflatten(1, (-1, width)).square().sum((0, 2)).sqrt())
        rows = [
            getattr(layer.mlp, name).weight.detach().float() for name in ("gate_proj", "up_proj")
        ]
        product = layer.mlp.down_proj.weight.detach().float().norm(dim=0)
        for row in rows:
            product = product * row.norm(dim=1)
        channels.append(product)
    return _Scores(heads, channels)


def _best(scores: _Scores, config: Mapping[str, Any], widths: Widths) -> list[Kept]:
    found = []
    for heads_H, channels_F in zip(scores.heads_LH, scores.channels_LF, strict=True):
        found.append(
            Kept(_best_heads(heads_H, config, widths.num_heads), _top(channels_F, widths.ffn_width))
        )
    return found


def _best_heads(scores_H: torch.Tensor, config: Mapping[str, Any], count: int | None) -> list[int]:
    heads, groups = config["num_attention_heads"], families.num_key_heads(config)
    if count is None or groups == heads:
        return _top(scores_H, count)
    each, size = count // groups, heads // groups
    return [
        group * size + head
        for group in range(groups)
        for head in _top(scores_H[group * size : (group + 1) * size], each)
    ]


def _top(scores: torch.Tensor, count: int | None) -> list[int]:
    """Return the numbers of the best, ascending; of equals the lower."""
    order = torch.sort(scores, descending=True, stable=True).indices[:count]
    found: list[int] = order.sort().values.tolist()
    return found


@contextmanager
def masked(model: CausalLM, kept: Sequence[Kept]) -> Iterator[None]:
    """Let a model compute what it would without the parts that are not kept."""
    width, hooks = families.head_dim(model.config.to_dict()), []
    for layer, mine in zip(model.model.layers, kept, strict=True):
        for part, numbers, size in (
            (layer.self_attn.o_proj, mine.heads, width),
            (layer.mlp.down_proj, mine.channels, 1),
        ):
            mask_X = torch.zeros(part.in_features, device=part.weight.device)
            mask_X.view(-1, size)[numbers] = 1
            hooks.append(part.register_forward_pre_hook(_mask(mask_X)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _mask(mask_X: torch.Tensor) -> Callable[..., tuple[torch.Tensor, ...]]:
    def hook(_: object, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (inputs[0] * mask_X.to(inputs[0].dtype), *inputs[1:])

    return hook


def cut(
    state: Mapping[str, torch.Tensor], config: Mapping[str, Any], kept: Sequence[Kept]
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the weights and config of a model with only what is kept.

    Args:
        state: by name, of a family of `models.families`.
        config: config.json.
        kept: of each layer.
    """
    width, heads = families.head_dim(config), config["num_attention_heads"]
    groups = families.num_key_heads(config)
    changed = dict(state)
    for n, mine in enumerate(kept):
        layer = f"model.layers.{n}."
        query = _rows(mine.heads, width)
        key = query if groups == heads else slice(None)
        for name, rows in (("q", query), ("k", key), ("v", key)):
            for kind in ("weight", "bias"):
                path = f"{layer}self_attn.{name}_proj.{kind}"
                if path in changed:
                    changed[path] = changed[path][rows].contiguous()
        _take(changed, f"{layer}self_attn.o_proj.weight", (slice(None), query))
        for name in ("gate_proj", "up_proj"):
            _take(changed, f"{layer}mlp.{name}.weight", (mine.channels,))
        _take(changed, f"{layer}mlp.down_proj.weight", (slice(None), mine.channels))
    count = len(kept[0].heads)
    return changed, {
        **config,
        "num_attention_heads": count,
        "num_key_value_heads": count if groups == heads else groups,
        "intermediate_size": len(kept[0].channels),
        "head_dim": width,  # no longer the width by the number of heads
    }


def _rows(heads: Sequence[int], width: int) -> list[int]:
    return [head * width + place for head in heads for place in range(width)]


def _take(state: dict[str, torch.Tensor], path: str, where: Any) -> None:  # noqa: ANN401 - an index
    state[path] = state[path][where].contiguous()
