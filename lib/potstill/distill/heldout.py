"""The rows of validation and test, which a model is measured on and not trained on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from potstill import files
from potstill.distill import inside, likelihood
from potstill.distill.recipe import Inside
from potstill.loading.load import CausalLM
from potstill.models.chat import ChatTokenizer
from potstill.tokens import table
from potstill.tokens.examples import Example


@dataclass(frozen=True)
class Heldout:
    """What models are measured on; the first split is looked at while one is trained.

    Attributes:
        splits: their rows, in the models' ids.
        chat: the models' tokenizer.
        batch_rows: that are measured at a time.
        watch: gives the share of a model's answers that a policy accepts, where it is wanted.
    """

    splits: Mapping[str, Sequence[Example]]
    chat: ChatTokenizer
    batch_rows: int
    watch: Callable[[CausalLM], dict[str, float]]

    @classmethod
    def read(
        cls,
        tokens: Path,
        chat: ChatTokenizer,
        batch_rows: int,
        own: Path,
        ask: Inside | None = None,
    ) -> "Heldout":
        """Read the tables of a folder.

        Args:
            tokens: the folder.
            chat: the models' tokenizer.
            batch_rows: that are measured at a time.
            own: folder for tables that are tokenised again, where another tokenizer made them.
            ask: how the share of accepted answers is watched; None: it is not.

        Raises:
            InputError: no row fits, or none asks for code where `inside` is set.
        """
        splits = {
            split: table.fit(tokens / f"{split}.arrow", chat, own / f"{split}.arrow")[0]
            for split in ("validation", "test")
        }
        watch = inside.watch(ask, splits["validation"], chat, batch_rows)
        return cls(splits, chat, batch_rows, watch)

    @property
    def first(self) -> Sequence[Example]:
        """Rows of validation that are few enough to be read at a time."""
        return self.splits["validation"][: self.batch_rows]

    def look(self, model: CausalLM) -> dict[str, float]:
        """Return what is told of a model while it is trained."""
        loss = likelihood.nll(self._measure(model, "validation")).value
        return {"validation_nll": loss, **self.watch(model)}

    def write(self, model: CausalLM, out: Path) -> dict[str, float]:
        """Write what a model makes of each row, a file a split; return the summary."""
        out.mkdir()
        summary: dict[str, float] = {}
        for split in self.splits:
            found = self._measure(model, split)
            files.write_jsonl(out / f"{split}.jsonl", found)
            summary |= likelihood.summary(found, split)
        return summary

    def _measure(self, model: CausalLM, split: str) -> list[dict[str, Any]]:
        rows = self.splits[split]
        return likelihood.measure(model, rows, self.chat, batch_rows=self.batch_rows)
