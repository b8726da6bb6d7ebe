"""A teacher that runs beside the student: nothing of it is stored but which one it is.

The signal is a folder with header.json alone. It names the teacher's folder and its hash, so that a
student whose teacher changed is stale for DVC, and one that would be trained beside another teacher
than the one that was looked at is refused.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from potstill import files
from potstill.errors import InputError
from potstill.loading import load
from potstill.logits import store
from potstill.logits.dense import Live
from potstill.logits.store import Header
from potstill.models import checkpoint
from potstill.tokens import packing
from potstill.tokens.examples import Example


def write(out: Path, header: Header) -> None:
    """Write the folder of a live signal."""
    out.mkdir(parents=True)
    store.write_header(out, header)


class LiveTeacher:
    """The teacher of a live signal, loaded; it offers what `source.Source` asks."""

    signal = Live

    def __init__(self, folder: Path, dtype: torch.dtype, device: torch.device) -> None:
        """Load the teacher that a signal names.

        Args:
            folder: of the signal.
            dtype: of the teacher's weights and products.
            device: where it runs, which is where the student does.

        Raises:
            InputError: it is missing, or not what it was when the signal was made.
        """
        self.folder, self.header = folder, store.read_header(folder)
        teacher = Path(self.header.teacher)
        if not teacher.is_dir():
            raise InputError(
                f"{folder} is of the teacher {teacher}, which is missing: run `dvc repro` or "
                f"`dvc pull {teacher}`"
            )
        if files.sha256_tree(teacher) != self.header.teacher_sha256:
            raise InputError(
                f"{teacher} is not the teacher that {folder} names (its files changed since): run "
                "`dvc repro`, or `dvc checkout` for the one that was"
            )
        self._model = load.causal_lm(teacher, dtype, device).requires_grad_(False)
        self.device = device

    @property
    def names(self) -> list[str]:
        """The signals that this is made of."""
        return [self.folder.name]

    def check(self, hashes: Mapping[str, str]) -> None:
        """Refuse another tokenizer or template; see `LogitStore.check`."""
        store.check_hashes(self.folder, self.header, hashes)

    def require(self, rows: Sequence[Example]) -> None:
        """Refuse rows that the teacher was adapted on; see `Header.refuse_seen`."""
        self.header.refuse_seen(rows)

    @property
    def config(self) -> dict[str, Any]:
        """The teacher's config.json."""
        return checkpoint.read_config(Path(self.header.teacher))

    def signal_of(self, rows: Sequence[Example]) -> Live:
        """Run the teacher over rows; return what gives its logits at their answers.

        Raises:
            InputError: it was adapted on one of them.
        """
        return self.with_states(rows, ())[0]

    @torch.no_grad()
    def with_states(
        self, rows: Sequence[Example], layers: Sequence[int]
    ) -> tuple[Live, list[torch.Tensor]]:
        """Return what `signal_of` does, and the hidden states of some layers, of one pass.

        Args:
            rows: as for `signal_of`.
            layers: counted from 1, as outputs of transformers are where 0 is the embedding.

        Returns:
            The signal; of each layer [N, E] at the positions that predict the answers.
        """
        self.require(rows)
        batch = packing.pack(rows, self.device)
        output = self._model.model(**batch.inputs, output_hidden_states=bool(layers))
        head = self._model.lm_head
        last_NE = batch.predicting(output.last_hidden_state)
        states = [batch.predicting(output.hidden_states[n]) for n in layers]
        return Live(last_NE, head.weight, head.bias), states
