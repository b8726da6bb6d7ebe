"""The student as it is by now, in llama.cpp: its answers are what it is taught on."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import torch

from potstill import files
from potstill.export import build
from potstill.models import checkpoint
from potstill.models.chat import ChatTokenizer
from potstill.rollouts.weights_file import WeightsFile
from potstill.runtime import Answer, Request
from potstill.runtime.llama_cpp import LlamaCpp

Weights = Iterable[tuple[str, torch.Tensor]]


class LlamaPolicy:
    """A start's GGUF file, which takes the weights that a student has by now."""

    def __init__(
        self, start: Path, folder: Path, *, quantisation: str, threads: int, context: int
    ) -> None:
        """Export the start; a file of an earlier process is made anew.

        Args:
            start: the checkpoint that the student begins as.
            folder: for the file.
            quantisation: of the matrices: bf16, f16 or q8_0.
            threads: of llama.cpp.
            context: most ids of a prompt with its answer.

        Raises:
            InputError: llama.cpp does not carry this checkpoint.
        """
        files.remove(folder)
        described = build.build(start, folder, format="gguf", quantisation=quantisation)
        self._file = WeightsFile(folder / described["model_file"], checkpoint.read_config(start))
        self._stop_ids = ChatTokenizer(start).stop_ids
        self._threads, self._context = threads, context

    def check(self, weights: Weights) -> None:
        """Hold weights of the start against the file; see `WeightsFile.check`."""
        self._file.check(weights)

    def take(self, weights: Weights) -> None:
        """Write what the student has by now into the file; see `WeightsFile.write`."""
        self._file.write(weights)

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return the answers of these weights, in order."""
        model = LlamaCpp(
            self._file.path,
            stop_ids=self._stop_ids,
            threads=self._threads,
            context=self._context,
        )
        with closing(model):
            return model.generate(requests)
