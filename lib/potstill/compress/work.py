"""What a method is given: a checkpoint, rows that it may look at, and where the result goes."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from potstill.compress import METHODS, Metrics
from potstill.compress.recipe import Compression
from potstill.distill import history
from potstill.distill.heldout import Heldout
from potstill.loading import device, load
from potstill.loading.load import CausalLM
from potstill.models import checkpoint
from potstill.models.chat import ChatTokenizer
from potstill.tokens import packing, table
from potstill.tokens.examples import Example
from potstill.tokens.packing import Pack
from potstill.tokens.table import MappedRows


@dataclass(frozen=True)
class Work:
    """A checkpoint that is to be compressed.

    Attributes:
        recipe: how.
        source: the checkpoint, which stays as it is.
        tokens: folder of tables of rows.
        out: the checkpoint to write.
        scratch: folder for what is made on the way.
    """

    recipe: Compression
    source: Path
    tokens: Path
    out: Path
    scratch: Path

    @cached_property
    def place(self) -> torch.device:
        """Where it is computed; the same bits on every rerun there."""
        device.make_deterministic(self.recipe.seed, self.recipe.threads)
        return device.pick_device()

    @cached_property
    def packs(self) -> list[Pack]:
        """The calibration rows: some of the training rows, drawn by the seed.

        Raises:
            InputError: there are none.
        """
        recipe = self.recipe
        return packing.calibration(self._table, recipe.calibration_rows, recipe.seed, self.place)

    @cached_property
    def rows(self) -> list[Example]:
        """The same rows, each for itself."""
        return packing.drawn(self._table, self.recipe.calibration_rows, self.recipe.seed)

    @cached_property
    def _table(self) -> MappedRows:
        chat, own = ChatTokenizer(self.source), self.scratch / "train.arrow"
        rows, _ = table.fit(self.tokens / "train.arrow", chat, own)
        return rows

    def model(self) -> CausalLM:
        """Return the checkpoint with float32 weights, in evaluation mode."""
        return load.trainable(self.source, self.place)

    def link(self) -> None:
        """Put the checkpoint's own files into place, as they are."""
        self.out.mkdir(parents=True, exist_ok=True)
        names = [*checkpoint.SIDE_FILES, "config.json", checkpoint.INDEX]
        paths = [self.source / name for name in names] + checkpoint.weight_files(self.source)
        for path in paths:
            if path.exists():
                checkpoint.link(path, self.out / path.name)

    def measure(self, out: Path) -> dict[str, float]:
        """Write what the result makes of each held-out row; return the summary.

        The folder is what a student's is that was trained for no step.
        """
        chat = ChatTokenizer(self.out)
        heldout = Heldout.read(self.tokens, chat, self.recipe.batch_rows, self.scratch)
        found = heldout.write(load.trainable(self.out, self.place), out)
        history.write(out, [])
        return found


def compress(work: Work, measures_out: Path) -> Metrics:
    """Write a compressed checkpoint; return what was done, and what it makes of held-out rows.

    Raises:
        InputError: see the method, or no row fits.
    """
    recipe = work.recipe
    found = METHODS[recipe.method.kind].compress(work)
    return {
        "method": recipe.method.kind,
        "start": recipe.checkpoint,
        "seed": recipe.seed,
        "signals": "",
        "steps": 0,
        "num_tokens": 0,
        "num_parameters": checkpoint.count_parameters(work.out),
        **work.measure(measures_out),
        **found,
    }
