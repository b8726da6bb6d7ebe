"""Export to GGUF for llama.cpp: Llama and Qwen2 families, quantised by llama.cpp itself.

Matrices are stored as float16, norms and biases as float32; a tied head is stored once. llama.cpp
chooses the type of every tensor of a quantised file: rows that are not whole blocks of the wanted
type fall back to a larger one, so artifact.json counts the types that came out.

Source: llama.cpp, `convert_hf_to_gguf.py`, `LlamaModel` and `Qwen2Model`.
"""

import ctypes
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from potstill.errors import InputError
from potstill.models import checkpoint as checkpoints

if TYPE_CHECKING:
    from gguf import GGUFWriter

MODEL_FILE = "model.gguf"
QUANTISATIONS = ("f16", "q8_0", "q4_k_m", "q4_0")
FAMILIES = ("llama", "qwen2")  # config.json's model_type, and GGUF's name of the architecture
EMBEDDING = "token_embd.weight"


def export(checkpoint: Path, out: Path, *, quantisation: str) -> dict[str, Any]:
    """Write `model.gguf` into `out`.

    Returns:
        `tensor_types`: how many tensors have each type; `token_embedding_type`.

    Raises:
        InputError: a family, a setting or a tokenizer that GGUF export does not carry, weights
            that float16 cannot hold, or llama.cpp refuses to quantise.
    """
    final = out / MODEL_FILE
    if quantisation == "f16":
        _write_f16(checkpoint, final)
    else:
        plain = out / "f16.gguf"
        _write_f16(checkpoint, plain)
        _quantise(plain, final, quantisation)
        plain.unlink()
    return {"tensor_types": tensor_types(final), "token_embedding_type": embedding_type(final)}


def tensor_types(path: Path) -> dict[str, int]:
    """Return how many tensors of a GGUF file have each type, by ggml's names ("Q5_0")."""
    from potstill.gguf.header import read_header

    return dict(sorted(Counter(t.type.name for t in read_header(path).tensors).items()))


def embedding_type(path: Path) -> str:
    """Return the type of the token embedding, which is the head too where it is tied."""
    from potstill.gguf.header import read_header

    return next(t.type.name for t in read_header(path).tensors if t.name == EMBEDDING)


def _write_f16(checkpoint: Path, path: Path) -> None:
    from gguf import MODEL_ARCH, GGUFWriter, get_tensor_name_map

    from potstill.export import gguf_vocabulary

    config = checkpoints.read_config(checkpoint)
    _check_config(config, checkpoint)
    writer = GGUFWriter(path, config["model_type"])
    _add_settings(writer, config)
    gguf_vocabulary.add_vocabulary(writer, checkpoint, config["vocab_size"])
    names = get_tensor_name_map(
        MODEL_ARCH[config["model_type"].upper()], config["num_hidden_layers"]
    )
    chosen = list(_choose(checkpoint, config, names))
    for _, name, shape in chosen:
        dtype = np.dtype(_stored_dtype(shape))
        num_bytes = int(np.prod(shape)) * dtype.itemsize
        writer.add_tensor_info(name, shape, dtype, num_bytes)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    arrays = checkpoints.read_arrays(checkpoint)
    for source, _, shape in chosen:
        weight = arrays.pop(source).astype(np.float32)
        writer.write_tensor_data(_convert(weight, source, config, _stored_dtype(shape)))
    writer.close()


def _stored_dtype(shape: list[int]) -> type[np.float16] | type[np.float32]:
    return np.float16 if len(shape) > 1 else np.float32


def _check_config(config: dict[str, Any], checkpoint: Path) -> None:
    """Refuse what llama.cpp would compute differently, or not at all."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    wanted = {
        "model_type": (config.get("model_type"), FAMILIES),
        "hidden_act": (config.get("hidden_act"), ("silu",)),
        "rope type": (rope.get("rope_type", rope.get("type", "default")), ("default",)),
        "use_sliding_window": (config.get("use_sliding_window", False), (False,)),
    }
    for name, (got, allowed) in wanted.items():
        if got not in allowed:
            raise InputError(
                f"{checkpoint}: {name} is {got!r}; GGUF export supports "
                f"{', '.join(map(str, allowed))}: choose another model or format"
            )


def _add_settings(writer: "GGUFWriter", config: dict[str, Any]) -> None:
    from gguf import LlamaFileType

    heads = config["num_attention_heads"]
    head_dim = _head_dim(config)
    rope = config.get("rope_parameters") or config
    writer.add_type("model")
    writer.add_file_type(LlamaFileType.MOSTLY_F16)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(rope["rope_theta"])


def _head_dim(config: dict[str, Any]) -> int:
    given = config.get("head_dim")
    return int(given or config["hidden_size"] // config["num_attention_heads"])


def _choose(
    checkpoint: Path,
    config: dict[str, Any],
    names: Any,  # noqa: ANN401 - gguf is untyped
) -> Iterator[tuple[str, str, list[int]]]:
    """Yield (checkpoint's name, GGUF's name, shape) of every tensor to be stored."""
    for source, shape in sorted(checkpoints.shapes(checkpoint).items()):
        if source == "lm_head.weight" and config["tie_word_embeddings"]:
            continue  # llama.cpp uses the embedding where there is no head
        name = names.get_name(source, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise InputError(
                f"{checkpoint}: tensor {source} has no place in GGUF's architecture "
                f"{config['model_type']}: is it a fine-tuned adapter, or another family?"
            )
        yield source, name, shape


def _convert(
    weight: np.ndarray, source: str, config: dict[str, Any], dtype: type[np.floating]
) -> np.ndarray:
    """Put a tensor's rows into llama.cpp's order and cast it."""
    if config["model_type"] == "llama":
        stem = source.rpartition(".")[0]
        if stem.endswith("q_proj"):
            weight = rotate_pairs(weight, config["num_attention_heads"])
        elif stem.endswith("k_proj"):
            weight = rotate_pairs(weight, config["num_key_value_heads"])
    with np.errstate(over="ignore"):
        cast = np.ascontiguousarray(weight, dtype=dtype)
    if not np.isfinite(cast).all():
        raise InputError(
            f"tensor {source} holds values that are not finite in {np.dtype(dtype).name}: "
            "train again with a smaller learning rate"
        )
    return cast


def rotate_pairs(weight: np.ndarray, num_heads: int) -> np.ndarray:
    """Reorder the rows of a query or key projection, weight [H*D, ...] or bias [H*D].

    Hugging Face rotates dimension i of a head with i + D/2, llama.cpp's `llama` with its
    neighbour: rows [0, D/2, 1, D/2 + 1, ...] of each head.
    """
    halves = weight.reshape(num_heads, 2, -1, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)


def _quantise(source: Path, target: Path, quantisation: str) -> None:
    import llama_cpp

    from potstill.gguf.llama_library import take_errors

    types = {
        "q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
        "q4_k_m": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
        "q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0,
    }
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = types[quantisation]
    code = llama_cpp.llama_model_quantize(
        str(source).encode(), str(target).encode(), ctypes.byref(params)
    )
    if code:
        raise InputError(f"llama.cpp cannot quantise to {quantisation}: {take_errors()}")
