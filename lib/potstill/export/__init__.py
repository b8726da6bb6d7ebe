"""From a checkpoint to an artefact: one module per format behind one registry."""

from pathlib import Path
from typing import Any, Protocol

from potstill.registry import Registry


class Format(Protocol):
    """A module of the registry: one for each format of artefact."""

    MODEL_FILE: str  # what a runtime opens, below the artefact
    QUANTISATIONS: tuple[str, ...]

    def export(self, checkpoint: Path, out: Path, *, quantisation: str) -> dict[str, Any] | None:
        """Write the model file or files into the existing folder `out`.

        Returns:
            What artifact.json shall say besides the fields of every format, if anything.
        """
        ...


FORMATS: Registry[Format] = Registry(
    "format",
    {
        "gguf": "potstill.export.gguf",
        "onnx": "potstill.export.onnx",
        "compressed_tensors": "potstill.export.compressed_tensors",
    },
)
