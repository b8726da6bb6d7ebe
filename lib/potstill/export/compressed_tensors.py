"""Export what llmcompressor packed: a folder that transformers and vLLM load as it is.

`compress.oneshot` leaves it beside the checkpoint (`hints.packed`); nothing is rounded here.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from potstill.hints import packed
from potstill.models.checkpoint import WEIGHTS

MODEL_FILE = WEIGHTS
QUANTISATIONS = ("stated",)  # as the packed folder states it
CACHES = ()  # transformers keeps keys and values as floats


def export(checkpoint: Path, out: Path, *, quantisation: str) -> dict[str, Any]:  # noqa: ARG001 - there is one
    """Write config.json and the packed weights into the existing folder `out`.

    Returns:
        `scheme`: see `hints.packed.Scheme`.

    Raises:
        InputError: nothing packed lies beside the checkpoint, or it is damaged or of another one.
    """
    source = packed.read(checkpoint)
    packed.copy(source, out)
    return {"scheme": asdict(packed.check(out))}
