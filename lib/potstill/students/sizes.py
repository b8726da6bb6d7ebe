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

from potstill import files, gguf_names
from potstill.errors import InputError
from potstill.models import families, rotary
from potstill.models.chat import template_of, token_texts
from potstill.params import closest

# name -> (values of a block, its bytes)
TYPES = {
    "F32": (1, 4),
    "F16": (1, 2),
    "BF16": (1, 2),
    "Q8_0": (32, 34),
    "Q5_1": (32, 24),
    "Q5_0": (32, 22),
    "Q4_1": (32, 20),
    "Q4_0": (32, 18),
    "IQ4_NL": (32, 18),
    "Q6_K": (256, 210),
    "Q5_K": (256, 176),
    "Q4_K": (256, 144),
    "IQ4_XS": (256, 136),
}
# What a row that is no whole number of blocks becomes
_FALLBACK = {"Q6_K": "Q8_0", "Q5_K": "Q5_1", "Q4_K": "Q5_0", "IQ4_XS": "IQ4_NL"} | dict.fromkeys(
    ("Q4_0", "Q4_1", "IQ4_NL", "Q5_0", "Q5_1", "Q8_0"), "F16"
)
_PLAIN = {
    "f16": "F16", "bf16": "BF16", "q8_0": "Q8_0", "q6_k": "Q6_K", "q5_k_m": "Q5_K",
    "q4_k_m": "Q4_K", "q4_0": "Q4_0", "iq4_nl": "IQ4_NL", "iq4_xs": "IQ4_XS",
}  # fmt: skip
_ALIGNMENT = 32
_INFO_BYTES = 24  # of a tensor in the header, besides its name and its dimensions
_KEYS_BYTES = 2048  # of all keys but the vocabulary's; about half of it is used


def file_bytes(
    config: Mapping[str, Any], quantisation: str, vocabulary: int, *, important: bool = False
) -> int:
    """Return the size of the file or up to 2 KB more, never less.

    Args:
        config: config.json.
        quantisation: of `export.gguf`.
        vocabulary: what its tokenizer takes; see `vocabulary_bytes`.
        important: an importance matrix is given.

    Raises:
        InputError: another quantisation.
    """
    types = {
        name: stored_type(name, shape, config, quantisation, important=important)
        for name, shape in _shapes(config).items()
    }
    return bytes_with(config, types, vocabulary)


def bytes_with(config: Mapping[str, Any], types: Mapping[str, str], vocabulary: int) -> int:
    """Return the size of the file or up to 2 KB more, never less.

    Args:
        config: config.json.
        types: ggml's of each matrix, by its name in the checkpoint; what has none is F32.
        vocabulary: what its tokenizer takes; see `vocabulary_bytes`.
    """
    shapes = _shapes(config)
    total = sum(tensor_bytes(shape, types.get(name, "F32")) for name, shape in shapes.items())
    infos = sum(
        _INFO_BYTES + len(gguf_names.named(name)) + 8 * len(shape) for name, shape in shapes.items()
    )
    return total + _aligned(infos + vocabulary + _KEYS_BYTES)


def tensor_bytes(shape: list[int], kind: str) -> int:
    """Return the bytes that a tensor takes in the file, what separates it from the next counted."""
    values, size = TYPES[kind]
    return _aligned(math.prod(shape) // values * size)


def _shapes(config: Mapping[str, Any]) -> dict[str, list[int]]:
    """Return name -> shape of every tensor of the file, by their names in the checkpoint."""
    shapes = families.shapes(config)
    if not families.is_tied(config):
        shapes["lm_head.weight"] = shapes["model.embed_tokens.weight"]
    if rotary.read(config).kind == "llama3":
        shapes["rope_freqs.weight"] = [families.head_dim(config) // 2]
    return shapes


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def stored_type(
    name: str,
    shape: list[int],
    config: Mapping[str, Any],
    quantisation: str,
    *,
    important: bool = False,
) -> str:
    """Return ggml's name of the type that a tensor will have in the file ("Q4_K").

    Args:
        name: in the checkpoint.
        shape: rows, values of one.
        config: config.json.
        quantisation: see `file_bytes`.
        important: see `file_bytes`.

    Raises:
        InputError: another quantisation.
    """
    mixture, _, head = quantisation.partition("_head_")
    if mixture not in _PLAIN or (head and head.upper() not in TYPES):
        raise InputError(f"no rule for {quantisation!r}; {closest(mixture, _PLAIN)}")
    if len(shape) == 1:
        return "F32"
    kind, tied = _PLAIN[mixture], families.is_tied(config)
    is_embedding = name.startswith("model.embed_tokens")
    is_head = name.startswith("lm_head") or (tied and is_embedding)
    if head and (is_head or is_embedding):
        kind = head.upper()
    elif is_head and mixture not in ("f16", "bf16", "q8_0"):
        kind = "Q6_K"
    elif "v_proj" in name or "down_proj" in name:
        kind = _of_mixture(name, config, mixture, important=important)
    while shape[-1] % TYPES[kind][0]:
        kind = _FALLBACK[kind]
    return kind


def _of_mixture(name: str, config: Mapping[str, Any], mixture: str, *, important: bool) -> str:
    """Return the type that llama.cpp wants for a value or down projection."""
    layer, count = int(name.split(".")[2]), config["num_hidden_layers"]
    early, by_value, kind = layer < count // 8, "v_proj" in name, _PLAIN[mixture]
    if mixture in ("q4_k_m", "q5_k_m") and _more_bits(layer, count):
        return "Q6_K"
    if by_value and kind == "Q4_K" and count == 80 and config["model_type"] != "qwen3":
        return "Q5_K"  # LLM_TYPE_70B: many heads share each value
    if mixture in ("iq4_nl", "iq4_xs"):
        shared = config["num_attention_heads"] // families.num_key_heads(config)
        if (by_value and shared >= 4) or (not by_value and early and not important):
            return "Q5_K"
    if mixture == "q4_0" and important and early and not by_value:
        return "Q4_1"
    return kind


def _more_bits(layer: int, count: int) -> bool:
    """Say whether a mixture keeps more of a layer: first and last eighth, every third between."""
    eighth = count // 8
    return layer < eighth or layer >= 7 * count // 8 or (layer - eighth) % 3 == 2


def vocabulary_bytes(tokenizer: Path, vocab_size: int) -> int:
    """Return what a tokenizer takes in the header: its words, their kinds, merges, the template.

    Args:
        tokenizer: its folder.
        vocab_size: rows of the embedding; each that has no word gets one, "[PAD7]".
    """
    model, texts = files.read_json(tokenizer / "tokenizer.json")["model"], token_texts(tokenizer)
    words = [texts.get(index, f"[PAD{index}]") for index in range(vocab_size)]
    merges = [m if isinstance(m, str) else " ".join(m) for m in model.get("merges", [])]
    numbers = 4 * vocab_size  # their kinds
    if model.get("byte_fallback"):  # scores stand for merges
        merges, numbers = [], 2 * numbers
    strings = [*words, *merges, template_of(tokenizer)]
    return sum(8 + len(text.encode()) for text in strings) + numbers
