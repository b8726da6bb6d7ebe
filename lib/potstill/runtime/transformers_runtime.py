"""Artefacts of compressed-tensors through transformers, float32 on the CPU.

Weights are decompressed once, when the artefact is loaded, so memory and speed are those of a float
model: what is proved here is the file. Inputs of 8 bits are rounded as vLLM rounds them, and
multiplied as floats.
"""

import contextlib
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from potstill.hints import packed
from potstill.loading import load as loading
from potstill.runtime import artifact, rows

CAPABILITIES = rows.CAPABILITIES


class TransformersRuntime(rows.RowRuntime):
    """A loaded artefact of compressed-tensors."""

    def __init__(self, artefact: Path, *, threads: int, context: int) -> None:
        super().__init__(artefact, artifact.read(artefact), context)
        packed.check(artefact)
        torch.set_num_threads(threads)
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            # that a setting of the config is overwritten, which is wanted; and progress bars
            warnings.simplefilter("ignore")
            self._model = loading.causal_lm(
                artefact, torch.float32, torch.device("cpu"), packed=True
            )

    def close(self) -> None:
        """Free the model."""
        del self._model

    def _read(
        self,
        ids: Sequence[int],
        cache: Any,  # noqa: ANN401 - transformers' own
        *,
        last: bool,
    ) -> tuple[np.ndarray, Any]:
        with torch.inference_mode():
            found = self._model(
                torch.tensor([list(ids)]),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1 if last else 0,
            )
        logits: np.ndarray = found.logits[0].numpy()
        return logits, found.past_key_values


def load(artefact: Path, *, threads: int, context: int) -> TransformersRuntime:
    """Load an artefact whose files were verified.

    Raises:
        InputError: see `hints.packed.check` and `loading.load.causal_lm`.
    """
    return TransformersRuntime(artefact, threads=threads, context=context)
