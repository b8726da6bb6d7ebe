"""From a checkpoint to an artefact: one module per format behind one registry."""

from pathlib import Path
from typing import Any, Protocol

from potstill.errors import InputError
from potstill.params import closest
from potstill.registry import Registry


class Format(Protocol):
    """A module of the registry: one for each format of artefact."""

    MODEL_FILE: str  # what a runtime opens, below the artefact
    QUANTISATIONS: tuple[str, ...]  # of the weights
    CACHES: tuple[str, ...]  # what a runtime may keep keys and values in, besides its default

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


def split(form: str, quantisation: str) -> tuple[str, str | None]:
    """Return what weights are quantised to, and what the cache is, if that is stated.

    The cache is no part of the file: it is how its runtime is to keep keys and values, which makes
    an artefact of its own of the same weights.

    >>> split("gguf", "q4_k_m_cache_q8_0")
    ('q4_k_m', 'q8_0')

    Args:
        form: a name in FORMATS.
        quantisation: one of that format's QUANTISATIONS, or one, `_cache_` and one of its CACHES.

    Raises:
        InputError: the format has not the one or the other.
    """
    weights, mark, cache = quantisation.partition("_cache_")
    known, caches = (FORMATS.constant(form, name) for name in ("QUANTISATIONS", "CACHES"))
    if weights not in known:
        raise InputError(f"quantisation is {quantisation!r}; {closest(weights, known)}")
    if not mark:
        return weights, None
    if not caches:
        raise InputError(
            f"quantisation is {quantisation!r}: no cache can be stated for {form}; take {weights}"
        )
    if cache not in caches:
        raise InputError(f"quantisation is {quantisation!r}; of the cache {closest(cache, caches)}")
    return weights, cache
