"""What a student learns a teacher's distributions from, whatever way they come."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import torch

from potstill import files
from potstill.errors import InputError
from potstill.logits import members
from potstill.logits.dense import Live, Several
from potstill.logits.live import LiveTeacher
from potstill.logits.sampled import Sampled
from potstill.logits.store import AGAIN, LIVE, LogitStore
from potstill.logits.topk import TopK
from potstill.tokens.examples import Example


class Source(Protocol):
    """A store, a teacher that runs, or several stores as one."""

    @property
    def names(self) -> list[str]:
        """The signals that it is made of."""
        ...

    @property
    def signal(self) -> type[TopK] | type[Sampled] | type[Live] | type[Several]:
        """What `signal_of` returns."""
        ...

    def check(self, hashes: Mapping[str, str]) -> None:
        """Refuse a student with another tokenizer or template.

        Raises:
            InputError: names the first difference.
        """
        ...

    def require(self, rows: Sequence[Example]) -> None:
        """Refuse rows that it says nothing of, or may not, before a training starts.

        Raises:
            InputError: names what is missing and what to change.
        """
        ...

    def signal_of(self, rows: Sequence[Example]) -> TopK | Sampled | Live | Several:
        """Return the distributions of rows, one after the other, ready for the loss.

        Raises:
            InputError: see `require`, or what is stored is damaged.
        """
        ...


def open_source(folder: Path, dtype: torch.dtype, device: torch.device) -> Source:
    """Open a signal or an ensemble.

    Args:
        folder: data/signals/NAME or data/ensembles/NAME.
        dtype: of a live teacher's products.
        device: where a live teacher runs.

    Raises:
        InputError: it is none, is damaged, or names what has changed since.
    """
    described = files.read_json(folder / "header.json")
    try:
        codec = described["header"]["codec"]
    except (TypeError, KeyError):
        raise InputError(f"{folder}/header.json is not that of a signal: {AGAIN}") from None
    run = partial(LiveTeacher, dtype=dtype, device=device)
    if codec == LIVE:
        return run(folder)
    if codec == members.CODEC:
        return members.read(folder, run)
    return LogitStore(folder)
