"""How many bytes a GGUF file of a shape will have, before there are any weights.

llama.cpp chooses a type for every tensor by its name, its layer and the length of its rows; these
are its rules for the quantisations that are exported here, held against real files in the tests.

Sources: llama.cpp `src/llama-quant.cpp` (llama_tensor_get_type, its fallbacks, use_more_bits) and
`ggml/src/ggml.c` (bytes of a block); the GGUF specification for header and alignment.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from potstill import files
from potstill.errors import InputError
from potstill.models import families
from potstill.params import closest

# name -> (values of a block, its bytes)
TYPES = {
    "F32": (1, 4),
    "F16": (1, 2),
    "BF16": (1, 2),
    "Q8_0": (32, 34),
    "Q5_0": (32, 22),
    "Q4_0": (32, 18),
    "Q6_K": (256, 210),
    "Q4_K": (256, 144),
}
# What a row that is no whole number of blocks becomes
_FALLBACK = {"Q6_K": "Q8_0", "Q4_K": "Q5_0", "Q4_0": "F16", "Q5_0": "F16", "Q8_0": "F16"}
_PLAIN = {"f16": "F16", "bf16": "BF16", "q8_0": "Q8_0", "q4_0": "Q4_0", "q4_k_m": "Q4_K"}
_ALIGNMENT = 32
_INFO_BYTES = 40  # of a tensor in the header, besides its name
_FIXED_BYTES = 2048  # of the other keys


def file_bytes(config: Mapping[str, Any], quantisation: str, tokenizer: Path) -> int:
    """Return the size of the file, within half a per cent.

    Args:
        config: config.json.
        quantisation: f16, bf16, q8_0, q4_0, q4_k_m, or with a head of its own: q4_k_m_head_q5_0.
        tokenizer: the folder whose tokenizer the file will hold.

    Raises:
        InputError: another quantisation.
    """
    mixture, _, head = quantisation.partition("_head_")
    if mixture not in _PLAIN or (head and head.upper() not in TYPES):
        raise InputError(f"no rule for {quantisation!r}; {closest(mixture, _PLAIN)}")
    shapes = families.shapes(config)
    if not families.is_tied(config):
        shapes["lm_head.weight"] = shapes["model.embed_tokens.weight"]
    total = sum(
        _aligned(_bytes(shape, _type(name, shape, config, mixture, head)))
        for name, shape in shapes.items()
    )
    return total + _header_bytes(len(shapes), tokenizer)


def _bytes(shape: list[int], kind: str) -> int:
    values, size = TYPES[kind]
    return math.prod(shape) // values * size


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _type(name: str, shape: list[int], config: Mapping[str, Any], mixture: str, head: str) -> str:
    if len(shape) == 1:
        return "F32"
    kind, tied = _PLAIN[mixture], families.is_tied(config)
    is_embedding = name.startswith("model.embed_tokens")
    is_head = name.startswith("lm_head") or (tied and is_embedding)
    if head and (is_head or is_embedding):
        kind = head.upper()
    elif is_head and mixture in ("q4_0", "q4_k_m"):
        kind = "Q6_K"
    elif mixture == "q4_k_m" and ("v_proj" in name or "down_proj" in name):
        layer = int(name.split(".")[2])
        kind = "Q6_K" if _more_bits(layer, config["num_hidden_layers"]) else kind
    return kind if shape[-1] % TYPES[kind][0] == 0 else _FALLBACK[kind]


def _more_bits(layer: int, count: int) -> bool:
    """Say whether a mixture keeps more of a layer: first and last eighth, every third between."""
    eighth = count // 8
    return layer < eighth or layer >= 7 * count // 8 or (layer - eighth) % 3 == 2


def _header_bytes(num_tensors: int, tokenizer: Path) -> int:
    """Return the bytes of keys, vocabulary and tensors' names."""
    found = files.read_json(tokenizer / "tokenizer.json")
    texts = [*found["model"]["vocab"], *(entry["content"] for entry in found["added_tokens"])]
    merges = found["model"].get("merges", [])
    words = sum(len(text.encode()) + 8 for text in set(texts)) + 4 * len(set(texts))
    pairs = sum(len(" ".join(pair).encode()) + 8 for pair in merges)
    template = tokenizer / "chat_template.jinja"
    said = template.stat().st_size if template.exists() else 0
    return words + pairs + said + num_tensors * (_INFO_BYTES + 24) + _FIXED_BYTES
