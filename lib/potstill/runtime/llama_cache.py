"""What llama.cpp may keep keys and values in: float16, or blocks of 32 numbers with one scale.

It rounds each head's keys and values when it reads an id, and attention reads the blocks. A head
whose size 64 divides is turned by a Hadamard matrix first, which spreads outliers.

Source: llama.cpp, `src/llama-kv-cache.cpp`; ggml's `block_q8_0` and `block_q4_0`.
"""

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from potstill.errors import InputError
from potstill.models.gguf_header import Header
from potstill.params import closest

DEFAULT = "f16"
TYPES = {
    DEFAULT: GGMLQuantizationType.F16,
    "q8_0": GGMLQuantizationType.Q8_0,
    "q4_0": GGMLQuantizationType.Q4_0,
}


def check(cache: str, header: Header) -> None:
    """Refuse what llama.cpp would make no context for.

    Args:
        cache: a name in TYPES.
        header: of the model, checked by `gguf_header.check_model`.

    Raises:
        InputError: an unknown name, or heads that are not whole blocks.
    """
    if cache not in list(TYPES):  # artifact.json may hold anything
        raise InputError(f"cache is {cache!r}; {closest(str(cache), TYPES)}")
    block, _ = GGML_QUANT_SIZES[TYPES[cache]]
    sizes = _head_sizes(header)
    if any(size % block for size in sizes):
        raise InputError(
            f"keys have {sizes[0]} numbers a head and values {sizes[1]}, which is not whole blocks "
            f"of {block}, as a cache in {cache} takes them: state no cache, for {DEFAULT}"
        )


def bytes_per_id(cache: str, header: Header) -> int:
    """Return what keys and values of one id take in all layers; 0 for a model without any."""
    fields = header.fields
    family = fields["general.architecture"]
    block, block_bytes = GGML_QUANT_SIZES[TYPES[cache]]
    per_head = sum(size // block * block_bytes for size in _head_sizes(header))
    num_heads = fields.get(f"{family}.attention.head_count_kv", 0)
    return int(fields[f"{family}.block_count"] * num_heads * per_head)


def _head_sizes(header: Header) -> tuple[int, int]:
    """Return how many numbers a head's key and value have."""
    fields = header.fields
    family = fields["general.architecture"]
    num_heads = max(1, fields[f"{family}.attention.head_count"])  # a recurrent model has none
    width = fields[f"{family}.embedding_length"] // num_heads
    key, value = (
        fields.get(f"{family}.attention.{name}_length") or width for name in ("key", "value")
    )
    return key, value
