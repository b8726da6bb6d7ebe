"""What students begin as: another model, fewer of its layers, or a new model of its kind."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from potstill import files
from potstill.models import checkpoint
from potstill.models.chat import ChatTokenizer
from potstill.params import Section
from potstill.students import trimming


class Start(Section):
    """One of `starts`, with what all share from `pruning`."""

    source: Annotated[str, Field(alias="from")]  # folder below models/: fetched/NAME, starts/NAME
    vocabulary: Literal["trimmed", "whole"] = "trimmed"  # whole: the source's own tokenizer
    num_layers: Annotated[int, Field(ge=1)] | None = None  # layers to keep; None keeps all
    # A new model with random weights: config.json's keys that differ from the source's.
    fresh: dict[str, bool | int | float | str | None] | None = None
    candidates: Annotated[int, Field(ge=1)]  # least influential layers tried at each removal
    calibration_rows: Annotated[int, Field(ge=1)]  # training rows
    threads: Annotated[int, Field(ge=1)]
    seed: int

    @model_validator(mode="after")
    def _one_way(self) -> "Start":
        if self.fresh is not None and self.num_layers is not None:
            raise ValueError("num_layers keeps layers of a model, fresh makes a new one: give one")
        return self


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
        InputError: another tokenizer than the teacher's, more layers than there are, or a config
            that is no model.
    """
    is_plain = start.fresh is None and start.num_layers is None
    cut = out if is_plain else scratch / "cut"
    files.remove(cut)  # a killed run may have left a half
    if start.vocabulary == "trimmed":
        trimming.apply(vocabulary, source, cut)
    else:
        trimming.link(source, cut)
    metrics: dict[str, float | str] = {
        "source": start.source,
        "num_layers_before": checkpoint.read_config(cut)["num_hidden_layers"],
        "num_parameters_before": checkpoint.count_parameters(cut),
    }
    if start.num_layers is not None:
        metrics |= _prune(start, start.num_layers, cut, rows, out, scratch)
    elif start.fresh is not None:
        _initialise(start.fresh, start.seed, cut, out)
    return metrics | {
        "num_layers_after": checkpoint.read_config(out)["num_hidden_layers"],
        "num_parameters": checkpoint.count_parameters(out),
    }


def _prune(
    start: Start, num_layers: int, source: Path, rows: Path, out: Path, scratch: Path
) -> dict[str, float | str]:
    from potstill.loading import device, load
    from potstill.students import depth
    from potstill.tokens import examples, table

    device.make_deterministic(start.seed, start.threads)
    place = device.pick_device()
    model = load.trainable(source, place)
    found, _ = table.fit(rows, ChatTokenizer(source), scratch / "rows.arrow")
    batches = examples.calibration(found, start.calibration_rows, start.seed, place)
    kept, before, after = depth.choose_layers(model, batches, num_layers, start.candidates)
    state, config = depth.keep_layers(
        checkpoint.read_state(source), checkpoint.read_config(source), kept
    )
    checkpoint.write(out, state, config, beside=source)
    return {
        "kept_layers": ",".join(map(str, kept)),
        "calibration_nll_before_nats": before,
        "calibration_nll_after_nats": after,
    }


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
