"""Read the weights of a GGUF file in Hugging Face's names and layout, one tensor at a time.

transformers can do this too; it is the oracle in the tests. It takes half a minute for a model of
135M parameters, logs pages, and refuses to save what it loaded.

"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from potstill import gguf_names
from potstill.errors import InputError
from potstill.models import families
from potstill.models.gguf_header import Header, Tensor
from potstill.sources.gguf_config import ROPE_FACTORS

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
# A head that is the embedding at another quantisation has a cosine of 0.99 upwards with it in
# nearly every row (Q8_0 against Q4_0: 0.996); the rows of a head of its own have none.
SAMPLED_ROWS, SAME_COSINE, SAME_SHARE = 256, 0.99, 0.95


class Weights:
    """The dequantised weights, float32, by their Hugging Face names; each is read when asked for.

    Attributes:
        shapes: name -> shape; without a head where the head is the embedding (see `tie`).
    """

    def __init__(self, path: Path, header: Header, config: Mapping[str, Any]) -> None:
        self._content = np.memmap(path, mode="r")
        self._start, self._family = header.start, families.of(config)
        self._heads = {"q": config["num_attention_heads"], "k": config["num_key_value_heads"]}
        self._stored = {
            gguf_names.stored_as(t.name): t for t in header.tensors if t.name != ROPE_FACTORS
        }
        self.shapes = {n: list(reversed(t.shape)) for n, t in self._stored.items()}
        wanted = families.shapes(config)
        wrong = [n for n, shape in self.shapes.items() if wanted.get(n) != shape and n != HEAD]
        missing = sorted(wanted.keys() - self.shapes.keys())
        if wrong or missing:
            raise InputError(
                f"{path} has no {missing[:3]}, and {wrong[:3]} that a {self._family.model_type} "
                "model of these sizes does not have: use the model's Hugging Face folder"
            )

    def read(self, name: str) -> np.ndarray:
        """Return one tensor.

        Raises:
            InputError: it is quantised in a way that the package gguf does not read.
        """
        value = self._rows(self._stored[name], slice(None))
        if self._family.gguf_permutes and name.endswith(("q_proj.weight", "k_proj.weight")):
            value = gguf_names.split(value, self._heads[name[-len("q_proj.weight")]])
        return np.ascontiguousarray(value)

    def _rows(self, tensor: Tensor, chosen: Any) -> np.ndarray:  # noqa: ANN401 - an index
        """Return chosen rows; a row holds whole blocks."""
        from gguf.quants import dequantize

        begin = self._start + tensor.offset
        stored = self._content[begin : begin + tensor.num_bytes]
        rows = stored.reshape(*reversed(tensor.shape[1:]), -1)[chosen]
        try:
            return np.asarray(dequantize(rows, tensor.type), dtype=np.float32)
        except NotImplementedError:
            raise InputError(
                f"tensor {tensor.name} is {tensor.type.name}, which cannot be read: use a file of "
                "another quantisation"
            ) from None

    def tie(self) -> str | None:
        """Drop a head that is the embedding stored a second time, and keep the finer of the two.

        Returns:
            One line that says so, where it is so.
        """
        if HEAD not in self.shapes or self.shapes[HEAD] != self.shapes[EMBEDDING]:
            return None
        head, embedding = self._stored[HEAD], self._stored[EMBEDDING]
        rows = np.unique(np.linspace(0, self.shapes[HEAD][0] - 1, SAMPLED_ROWS).astype(int))
        cosines = _cosines(self._rows(head, rows), self._rows(embedding, rows))
        if not len(cosines) or np.mean(cosines > SAME_COSINE) < SAME_SHARE:
            return None
        finer = max((embedding, head), key=lambda t: t.num_bytes / math.prod(t.shape))
        self._stored[EMBEDDING] = finer
        del self._stored[HEAD], self.shapes[HEAD]
        return (
            f"the head ({head.type.name}) is the embedding ({embedding.type.name}) stored again, "
            f"mean cosine {cosines.mean():.4f} of {len(cosines)} rows: tied, "
            f"the {finer.type.name} copy kept"
        )


def _cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the cosine of each pair of rows [N, D] where neither is zero."""
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    found: np.ndarray = (first * second).sum(1)[lengths > 0] / lengths[lengths > 0]
    return found
