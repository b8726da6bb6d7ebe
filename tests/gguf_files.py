"""Write tiny checkpoints as GGUF files, laid out as llama.cpp's own converter has them.

For the tests of reading: the layout is written down here a second time, by the package gguf's
tables, and llama.cpp itself loads the files, so that reader and exporter cannot err together.
"""

import ctypes
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Kind
from potstill import files
from potstill.models import checkpoint

PRE = {"llama": "smollm", "llama3": "llama-bpe", "qwen2": "qwen2", "qwen3": "qwen2"}


def write(
    case: str,
    folder: Path,
    path: Path,
    *,
    kinds: dict[str, Kind] | None = None,
    head: bool = False,
    fields: dict[str, Any] | None = None,
) -> Path:
    """Write a GGUF file in float32.

    Args:
        case: the name in tests.tiny_models.CASES.
        folder: its checkpoint.
        path: the file to write.
        kinds: GGUF tensor name -> another type.
        head: store a tied head too.
        fields: strings and whole numbers to add to the metadata.
    """
    config, kinds = checkpoint.read_config(folder), kinds or {}
    architecture = {"mistral": "llama"}.get(config["model_type"], config["model_type"])
    writer = gguf.GGUFWriter(path, architecture)
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    for key, value in (fields or {}).items():
        add = writer.add_string if isinstance(value, str) else writer.add_uint32
        add(key, value)
    _add_tokenizer(writer, case, folder, config["vocab_size"])
    for name, value in _tensors(folder, config, architecture, head).items():
        kind = kinds.get(name, Kind.F32)
        writer.add_tensor(name, gguf.quants.quantize(value, kind), raw_dtype=kind)
    if config["rope_parameters"]["rope_type"] == "llama3":
        factors = _rope_factors(config["rope_parameters"], head_dim)
        writer.add_tensor("rope_freqs.weight", factors)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _tensors(
    folder: Path, config: dict[str, Any], architecture: str, head: bool
) -> dict[str, np.ndarray]:
    names = gguf.get_tensor_name_map(
        gguf.MODEL_ARCH[architecture.upper()], config["num_hidden_layers"]
    )
    state = checkpoint.read_arrays(folder)
    if head:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    found = {}
    for name, value in state.items():
        stem = name.rpartition(".")[0]
        heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}
        key = heads.get(stem.rpartition(".")[2])
        if architecture == "llama" and key:
            pairs = value.reshape(config[key], 2, -1, *value.shape[1:])
            value = pairs.swapaxes(1, 2).reshape(value.shape)  # noqa: PLW2901
        found[names.get_name(name, try_suffixes=(".weight", ".bias"))] = value
    return found


def _rope_factors(rope: dict[str, Any], head_dim: int) -> np.ndarray:
    """As the converter's `generate_extra_tensors` has them, from Meta's `apply_scaling`."""
    waves = 2 * np.pi * rope["rope_theta"] ** (np.arange(0, head_dim, 2) / head_dim)
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    context, factors = rope["original_max_position_embeddings"], []
    for wave in waves:
        if wave < context / high:
            factors.append(1.0)
        elif wave > context / low:
            factors.append(rope["factor"])
        else:
            smooth = (context / wave - low) / (high - low)
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(factors, dtype=np.float32)


def _add_tokenizer(writer: gguf.GGUFWriter, case: str, folder: Path, rows: int) -> None:
    tokenizer = files.read_json(folder / "tokenizer.json")
    settings = files.read_json(folder / "tokenizer_config.json")
    vocab = tokenizer["model"]["vocab"] | {a["content"]: a["id"] for a in tokenizer["added_tokens"]}
    tokens = [f"[PAD{index}]" for index in range(rows)]
    types = [gguf.TokenType.UNUSED] * rows
    special = {entry["content"] for entry in tokenizer["added_tokens"]}
    for token, index in vocab.items():
        byte = token.startswith("<0x") and len(token) == 6
        kind = gguf.TokenType.BYTE if byte else gguf.TokenType.NORMAL
        tokens[index], types[index] = token, gguf.TokenType.CONTROL if token in special else kind
    writer.add_tokenizer_model("gpt2" if case in PRE else "llama")
    writer.add_token_list(tokens)
    if case in PRE:
        writer.add_tokenizer_pre(PRE[case])
        writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    else:
        types[vocab["<unk>"]] = gguf.TokenType.UNKNOWN
        learnt = range(len(special) + 256, rows)
        writer.add_token_scores([float(-learnt.index(i)) if i in learnt else 0.0
                                 for i in range(rows)])  # fmt: skip
        writer.add_unk_token_id(vocab["<unk>"])
        writer.add_add_space_prefix(True)
    writer.add_token_types(types)
    writer.add_bos_token_id(vocab[settings["bos_token"]])
    writer.add_eos_token_id(vocab[settings["eos_token"]])
    writer.add_pad_token_id(vocab[settings["pad_token"]])
    writer.add_add_bos_token(case not in ("llama", "qwen2", "qwen3"))
    writer.add_chat_template((folder / "chat_template.jinja").read_text(encoding="utf-8"))


def quantise(path: Path, out: Path, kind: str) -> Path:
    """Let llama.cpp write a file at one of its mixtures, by the name of its enum ("Q4_K_M")."""
    import llama_cpp
    from potstill.runtime import llama_library

    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}")
    params.allow_requantize = True
    code = llama_cpp.llama_model_quantize(
        str(path).encode(), str(out).encode(), ctypes.byref(params)
    )
    assert code == 0, llama_library.take_errors()
    return out


def stored(path: Path, config: dict[str, Any]) -> dict[str, tuple[str, np.ndarray]]:
    """Return type and float32 values of every tensor of a file, by Hugging Face names and rows."""
    from gguf.quants import dequantize
    from potstill import gguf_names
    from potstill.models import families

    heads = {"q": config["num_attention_heads"], "k": families.num_key_heads(config)}
    found = {}
    for entry in gguf.GGUFReader(path).tensors:
        name = gguf_names.stored_as(entry.name)
        values = dequantize(entry.data, entry.tensor_type).reshape(tuple(entry.shape[::-1]))
        part = name.rpartition("_proj.")[0][-1:]
        if families.of(config).gguf_permutes and part in heads and ".self_attn." in name:
            values = gguf_names.split(values, heads[part])
        found[name] = (entry.tensor_type.name, values)
    return found
