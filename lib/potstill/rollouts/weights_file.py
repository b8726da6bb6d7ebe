"""A GGUF file whose tensors are written over while a student is trained.

llama.cpp's converter takes seconds, most of them for what a training does not change. So it makes
the file once; afterwards the tensors that changed are put where their like lie. That this is what
the converter would have written is checked with the very weights that it has just converted.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType

from potstill import gguf_names
from potstill.errors import InputError
from potstill.models import families, gguf_header
from potstill.models.gguf_header import Tensor

_PLAIN = (GGMLQuantizationType.F32, GGMLQuantizationType.F16, GGMLQuantizationType.BF16)
_PAIRED = ("q_proj.weight", "q_proj.bias", "k_proj.weight", "k_proj.bias")


class WeightsFile:
    """The tensors of a GGUF file by their Hugging Face names."""

    def __init__(self, path: Path, config: Mapping[str, Any]) -> None:
        """Read the header.

        Args:
            path: the file, as llama.cpp's converter and quantiser made it.
            config: config.json of the checkpoint.
        """
        header = gguf_header.read_header(path)
        self.path, self._start = path, header.start
        self._tensors = {gguf_names.stored_as(tensor.name): tensor for tensor in header.tensors}
        self._paired = families.of(config).gguf_permutes
        self._heads = {"q": config["num_attention_heads"], "k": families.num_key_heads(config)}

    def check(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Hold what `write` would write of weights against what the file has of them.

        A weight that the file does not have, such as a tied head, is passed over.

        Raises:
            InputError: the converter stores a tensor otherwise.
        """
        content = np.memmap(self.path, mode="r")
        for name, weight in weights:
            if name not in self._tensors:
                continue
            place, data = self._place(name), self._encode(name, weight)
            if not np.array_equal(content[place], data):
                raise InputError(
                    f"llama.cpp's converter stores {name} otherwise than it is written here: "
                    "roll out through a server instead (rollouts.server)"
                )

    def write(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Write tensors over those of the file.

        Args:
            weights: names and values, any floating dtype, on any device.

        Raises:
            InputError: a name that the file does not have, or a value that its type cannot hold.
        """
        content = np.memmap(self.path, mode="r+")
        for name, weight in weights:
            content[self._place(name)] = self._encode(name, weight)  # llama.cpp maps the same pages

    def _tensor(self, name: str) -> Tensor:
        if name not in self._tensors:
            raise InputError(f"{self.path} has no tensor {name}: train other matrices")
        return self._tensors[name]

    def _place(self, name: str) -> slice:
        tensor = self._tensor(name)
        begin = self._start + tensor.offset
        return slice(begin, begin + tensor.num_bytes)

    def _encode(self, name: str, weight: torch.Tensor) -> np.ndarray:
        """Return the bytes of a tensor in the type that the file has it in."""
        from gguf.quants import quantize

        kind = self._tensor(name).type
        exact = weight.detach().to("cpu", torch.float32).contiguous()
        if kind != GGMLQuantizationType.F32:
            half = exact.half()  # quantised types are made of the float16 file
            if not torch.isfinite(half).all():
                raise InputError(
                    f"{name} holds values that are not finite in float16: lower learning_rate"
                )
            exact = half if kind == GGMLQuantizationType.F16 else half.float()
        if kind == GGMLQuantizationType.BF16:  # which numpy does not have
            exact = exact.bfloat16().view(torch.int16)
        values = exact.numpy()
        if self._paired and name.endswith(_PAIRED):
            values = gguf_names.pair(values, self._heads[name.rpartition("_proj.")[0][-1]])
        if kind not in _PLAIN:
            values = quantize(values, kind)
        return np.ascontiguousarray(values).reshape(-1).view(np.uint8)
