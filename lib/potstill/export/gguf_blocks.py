"""Put matrices that are quantised already into a GGUF file, over what llama.cpp made of them."""

from pathlib import Path

import numpy as np

from potstill import gguf_names
from potstill.errors import InputError
from potstill.hints.blocks import Blocks
from potstill.models import checkpoint as checkpoints
from potstill.models import families
from potstill.models.gguf_header import read_header


def write(path: Path, blocks: Blocks, checkpoint: Path) -> None:
    """Write blocks over the tensors of a file; llama.cpp's order of rows is kept.

    Raises:
        InputError: the file has a tensor in another type, or none of that name.
    """
    if not blocks:
        return
    config, header = checkpoints.read_config(checkpoint), read_header(path)
    tensors = {gguf_names.stored_as(tensor.name): tensor for tensor in header.tensors}
    content = np.memmap(path, mode="r+")
    for name, rows in blocks.items():
        made = rows
        if families.of(config).gguf_permutes and ".self_attn." in name:
            part = name.rpartition("_proj.")[0][-1]
            heads = {"q": config["num_attention_heads"], "k": families.num_key_heads(config)}
            made = gguf_names.pair(rows, heads[part]) if part in heads else rows
        tensor = tensors.get(name)
        if tensor is None or tensor.num_bytes != made.nbytes:
            raise InputError(
                f"{checkpoint}: the blocks of {name} are not of its type: make it again"
            )
        begin = header.start + tensor.offset
        content[begin : begin + made.nbytes] = np.ascontiguousarray(made).reshape(-1)
    content.flush()
