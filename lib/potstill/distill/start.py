"""A checkpoint as the model that is trained, and that model as what can be measured and saved."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from potstill.distill import adapters, checkpoints, ranks, sharding
from potstill.distill.recipe import Adapter, Training
from potstill.loading import device, load
from potstill.loading.load import CausalLM
from potstill.models import checkpoint
from potstill.models.chat import ChatTokenizer
from potstill.tokens import folds


@dataclass(frozen=True)
class Start:
    """What a training begins as.

    Attributes:
        path: the checkpoint.
        adapter: what is trained beside its frozen weights; None trains them all, or none.
        names: of the matrices that adapters change; none where there are none.
        place: of the computation.
        dtype: that training multiplies in.
    """

    path: Path
    adapter: Adapter | None
    names: list[str]
    place: torch.device
    dtype: torch.dtype

    @classmethod
    def of(cls, path: Path, recipe: Training) -> "Start":
        """Look at a checkpoint.

        Raises:
            InputError: its family lacks a matrix that an adapter shall change.
        """
        place = device.pick_device()
        adapter = recipe.adapter if recipe.steps else None
        names = adapters.targets(adapter, path) if adapter else []
        return cls(path, adapter, names, place, device.compute_dtype(recipe.precision, place))

    def chat(self) -> ChatTokenizer:
        """Return its tokenizer."""
        return ChatTokenizer(self.path)

    def model(self) -> CausalLM:
        """Return the model as its training begins."""
        model = load.causal_lm(self.path, self.dtype if self.adapter else torch.float32, self.place)
        if self.adapter:
            adapters.attach(model, self.adapter, self.names, self.path)
            adapters.interpolate(model, self.path, 0)
        return model

    def exact(self, model: CausalLM, share: float = 1.0) -> CausalLM | None:
        """Return the model in float32, adapters merged: itself, or a copy of what ranks share.

        All ranks have to call this; the copy is rank 0's, others get None.

        Args:
            model: that is trained.
            share: of its way from the start, see `adapters.interpolate`; below 1 it cannot go on.
        """
        made = model
        if ranks.count() > 1:
            made = self.model() if ranks.rank() == 0 else None
            into = checkpoints.trained(made) if made is not None else {}
            with torch.no_grad():
                for name, tensor in sharding.gathered(checkpoints.trained(model)):
                    into[name].copy_(tensor)
        if share != 1 and made is not None:
            adapters.interpolate(made, self.path, share)
        if self.adapter and made is not None:
            adapters.merge(made, self.path, self.place)
        return made

    def current(self, model: CausalLM) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield what a model that is trained changes of its start: names and float32 weights."""
        return adapters.current(model, self.path, self.place)

    def go_on(self, model: CausalLM, made: CausalLM | None) -> None:
        """Make a model that is trained on what it was before `exact`; a copy is left as it is."""
        if self.adapter and made is model:
            adapters.unmerge(model, self.path, self.place, self.dtype)

    def save(self, made: CausalLM, out: Path, learnt: Sequence[int]) -> None:
        """Write what `exact` made, its adapters beside it, and the folds that it was trained on.

        Args:
            made: the model in float32.
            out: the checkpoint's folder.
            learnt: folds of the rows of this training.
        """
        config = checkpoint.read_config(self.path)
        checkpoint.write(out, adapters.weights(made), config, beside=self.path)
        if self.adapter:
            adapters.KINDS[self.adapter.kind].leave(made, self.path, out)
            adapters.save(made, self.adapter, self.names, out / adapters.FOLDER)
        folds.record(out, [*folds.trained_on(self.path), *learnt])
