"""From an artefact to tokens and logits: one module per format behind one registry."""

from pathlib import Path

from potstill.errors import InputError
from potstill.registry import Registry
from potstill.runtime import artifact
from potstill.runtime.base import Capabilities, Runtime, RuntimeModule
from potstill.runtime.request import Answer, Chunk, Constraint, Request, Samples, Sampling

__all__ = [
    "RUNTIMES",
    "Answer",
    "Capabilities",
    "Chunk",
    "Constraint",
    "Request",
    "Runtime",
    "RuntimeModule",
    "Samples",
    "Sampling",
    "load",
]

RUNTIMES: Registry[RuntimeModule] = Registry(
    "format",
    {
        "gguf": "potstill.runtime.llama_cpp",
        "onnx": "potstill.runtime.onnx_runtime",
        "compressed_tensors": "potstill.runtime.transformers_runtime",
    },
)


def load(artefact: Path, *, threads: int = 2, context: int = 1024) -> Runtime:
    """Verify an artefact's files against artifact.json and load it with its format's runtime.

    Args:
        artefact: the folder that `potstill.export.artifact.build` wrote.
        threads: threads of the runtime.
        context: ids of prompt and answer together; a model trained on fewer lowers it.

    Raises:
        InputError: not an artefact, a file is missing, truncated or differs from its hash, the
            format is unknown or its package is not installed.
    """
    if threads < 1 or context < 1:
        raise InputError(f"threads is {threads}, context {context}: both must be at least 1")
    description = artifact.verify(artefact)
    return RUNTIMES[description["format"]].load(artefact, threads=threads, context=context)
