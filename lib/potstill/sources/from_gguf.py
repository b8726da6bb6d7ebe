"""Bring in a GGUF file: dequantised weights, config.json and tokenizer out of its metadata."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from potstill import files
from potstill.models import checkpoint
from potstill.sources.brought import Brought, DType, cast

if TYPE_CHECKING:
    import torch


def bring(path: Path, dtype: DType, out: Path) -> Brought:
    """Write the model of a GGUF file into `out`, its weights in `dtype`.

    Raises:
        InputError: a damaged file, a family, a setting or a tokenizer that is not carried; nothing
            is written then.
    """
    import numpy as np
    import torch

    from potstill.models import gguf_header
    from potstill.sources import gguf_config, gguf_tokenizer, gguf_weights

    header = gguf_header.read_header(path)
    config = gguf_config.config_of(header, path)
    weights = gguf_weights.Weights(path, header, config)
    texts = gguf_tokenizer.tokenizer_files(header.fields)
    note = weights.tie()
    config["tie_word_embeddings"] = gguf_weights.HEAD not in weights.shapes
    config["dtype"] = dtype
    out.mkdir(parents=True)
    for name, text in texts.items():
        (out / name).write_text(text, encoding="utf-8")

    def read(name: str) -> "torch.Tensor":
        # what is stored in float32 is a view of the mapped file, which torch warns of
        return cast(name, torch.from_numpy(np.require(weights.read(name), requirements="W")), dtype)

    width = getattr(torch, dtype).itemsize
    sizes = {name: math.prod(shape) * width for name, shape in weights.shapes.items()}
    checkpoint.write_weights(out, sizes, read)
    files.write_json(out / "config.json", config)
    ids = {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    files.write_json(out / "generation_config.json", ids)
    licence: str | None = header.fields.get("general.license")
    return Brought([path], licence, [note] if note else [])
