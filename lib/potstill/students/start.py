"""What students begin as: another model, fewer of its layers or channels, or a new one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from potstill import files
from potstill.models import checkpoint
from potstill.models.chat import ChatTokenizer
from potstill.params import Section
from potstill.students.budget import Budget, Shape, frontier
from potstill.vocabulary import trimming

if TYPE_CHECKING:
    from potstill.loading.load import CausalLM
    from potstill.tokens.packing import Pack

Metrics = dict[str, float | str]
CUTS = ("num_layers", "num_heads", "ffn_width")


class Start(Section):
    """One of `starts`, with what all share from `pruning`."""

    source: Annotated[str, Field(alias="from")]  # folder below models/: fetched/NAME, starts/NAME
    vocabulary: Literal["trimmed", "whole"] = "trimmed"  # whole: the source's own tokenizer
    num_layers: Annotated[int, Field(ge=1)] | None = None  # layers to keep; None keeps all
    num_heads: Annotated[int, Field(ge=1)] | None = None  # query heads of each; None keeps all
    ffn_width: Annotated[int, Field(ge=1)] | None = None  # channels of each MLP; None keeps all
    budget: Budget | None = None  # layers and channels by the size of the file that they make
    # A new model with random weights: config.json's keys that differ from the source's.
    fresh: dict[str, bool | int | float | str | None] | None = None
    candidates: Annotated[int, Field(ge=1)]  # least influential layers tried at each removal
    calibration_rows: Annotated[int, Field(ge=1)]  # training rows
    threads: Annotated[int, Field(ge=1)]
    seed: int

    @model_validator(mode="after")
    def _one_way(self) -> "Start":
        cuts = {name: getattr(self, name) for name in CUTS if getattr(self, name) is not None}
        if self.fresh is not None and (cuts or self.budget):
            named = ", ".join(cuts) or "budget"
            raise ValueError(f"{named} cuts a model, fresh makes a new one: give one")
        if self.budget is not None and cuts:
            raise ValueError(f"budget finds {', '.join(cuts)}: give one of the two")
        return self

    @property
    def is_plain(self) -> bool:
        """Whether the source stays as it is, but for its vocabulary."""
        return (
            self.fresh is None
            and self.budget is None
            and not any(getattr(self, name) is not None for name in CUTS)
        )


def make(
    start: Start, *, source: Path, vocabulary: Path, rows: Path, out: Path, scratch: Path
) -> dict[str, float | str]:
    """Write the checkpoint that students begin as and return what was done to its source.

    Args:
        start: what is asked for.
        source: the checkpoint that it is made from.
        vocabulary: folder of the vocabulary that teacher and students share.
        rows: table of the training rows, on which redundancy of layers is measured.
        out: the checkpoint to write.
        scratch: folder for what is made on the way.

    Raises:
        InputError: another tokenizer than the teacher's, more layers than there are, a width that
            the model cannot have, a budget that nothing meets, or a config that is no model.
    """
    cut = out if start.is_plain else scratch / "cut"
    files.remove(cut)  # a killed run may have left a half
    if start.vocabulary == "trimmed":
        trimming.apply(vocabulary, source, cut)
    else:
        trimming.link(source, cut)
    metrics: Metrics = {
        "source": start.source,
        "num_layers_before": checkpoint.read_config(cut)["num_hidden_layers"],
        "num_parameters_before": checkpoint.count_parameters(cut),
    }
    if start.fresh is not None:
        _initialise(start.fresh, start.seed, cut, out)
    elif not start.is_plain:
        metrics |= _prune(start, cut, rows, out, scratch)
    return metrics | {
        "num_layers_after": checkpoint.read_config(out)["num_hidden_layers"],
        "num_parameters": checkpoint.count_parameters(out),
    }


def _prune(start: Start, source: Path, rows: Path, out: Path, scratch: Path) -> Metrics:
    """Write a model with fewer layers, heads or channels; see `Start`."""
    import torch

    from potstill.loading import device, load
    from potstill.students import depth, width
    from potstill.tokens import packing, table

    state, config = checkpoint.read_state(source), checkpoint.read_config(source)
    wanted = width.Widths(start.num_heads, start.ffn_width)
    wanted.check(config)
    shapes = frontier(config, start.budget, source) if start.budget else []
    device.make_deterministic(start.seed, start.threads)
    place = device.pick_device()
    model = load.trainable(source, place)
    found, _ = table.fit(rows, ChatTokenizer(source), scratch / "rows.arrow")
    batches = packing.calibration(found, start.calibration_rows, start.seed, place)
    metrics: Metrics = {"calibration_nll_before_nats": depth.mean_nll(model, batches)}
    kept = list(range(config["num_hidden_layers"]))
    if start.budget is not None:
        shape, kept, said = _solve(start.budget, shapes, model, batches, start.candidates)
        wanted = width.Widths(None, shape.ffn_width)
        metrics |= said
    elif start.num_layers is not None:
        kept, _, _ = depth.choose_layers(model, batches, start.num_layers, start.candidates)
    state, config = depth.keep_layers(state, config, kept)
    model.model.layers = torch.nn.ModuleList(model.model.layers[i] for i in kept)
    metrics["kept_layers"] = ",".join(map(str, kept))
    metrics["calibration_nll_after_nats"] = depth.mean_nll(model, batches)
    if wanted != width.Widths():
        parts, losses, way = width.choose(model, batches, wanted)
        state, config = width.cut(state, config, parts)
        metrics |= {**{f"{name}_nats": nats for name, nats in losses.items()}, "scored_by": way}
        metrics |= {"calibration_nll_after_nats": losses[f"nll_{way}"]}
        metrics |= {"num_heads": config["num_attention_heads"]}
        metrics |= {"ffn_width": config["intermediate_size"]}
    checkpoint.write(out, state, config, beside=source)
    return metrics


def _solve(
    budget: Budget,
    shapes: list[Shape],
    model: "CausalLM",
    batches: "list[Pack]",
    candidates: int,
) -> tuple[Shape, list[int], Metrics]:
    """Measure single cuts; return the shape of the lowest foreseen loss, its layers, metrics."""
    from potstill.students import budget as solver
    from potstill.students import depth, rounding, width

    whole = (model.config.num_hidden_layers, model.config.intermediate_size)
    # two candidates at least, so that each removal is measured
    fewest = min(shape.num_layers for shape in shapes)
    path = list(depth.removals(model, batches, fewest, max(2, candidates)))
    by_layers = {len(kept): nll for kept, nll in path if nll is not None}
    by_width = {whole[1]: by_layers[whole[0]]}
    for channels in sorted({shape.ffn_width for shape in shapes} - {whole[1]}):
        _, losses, way = width.choose(model, batches, width.Widths(None, channels))
        by_width[channels] = losses[f"nll_{way}"]
    by_rounding = dict.fromkeys(budget.quantisations, by_layers[whole[0]])
    for quantisation in budget.quantisations if len(by_rounding) > 1 else []:
        with rounding.rounded(model, quantisation):
            by_rounding[quantisation] = depth.mean_nll(model, batches)
    found, nll = solver.best(shapes, whole, by_layers, by_width, by_rounding)
    return (
        found,
        next(kept for kept, _ in path if len(kept) == found.num_layers),
        {
            "budget_bytes": budget.bytes,
            "quantisation": found.quantisation,
            "predicted_bytes": found.num_bytes,
            "predicted_nll_nats": nll,
            "rounding_nats": by_rounding[found.quantisation] - by_layers[whole[0]],
        },
    )


def _initialise(changes: dict[str, Any], seed: int, source: Path, out: Path) -> None:
    """Write a model with random weights; its config is the source's with changes."""
    import torch

    from potstill.loading import load

    config = {**checkpoint.read_config(source), **changes}
    config.pop("layer_types", None)  # one for each layer: follows from the rest
    torch.manual_seed(seed)
    model = load.from_config(config)
    checkpoint.write(out, dict(model.named_parameters()), model.config.to_dict(), beside=source)
    files.remove(out / checkpoint.LINEAGE)  # nothing of what the source learnt is left
