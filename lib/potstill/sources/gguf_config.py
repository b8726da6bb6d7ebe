"""Read config.json out of a GGUF file's metadata.

GGUF says less than config.json: Mistral is called llama, and Llama 3's positions are a list of
factors, whose rule is found again here and held against the list.

Source: llama.cpp, `convert_hf_to_gguf.py` and `gguf-py/gguf/constants.py`, read backwards.
"""

from pathlib import Path
from typing import Any

import numpy as np

from potstill.errors import InputError
from potstill.models import families, rotary
from potstill.models.families import Family
from potstill.models.gguf_header import Header

ROPE_FACTORS = "rope_freqs.weight"
_LOW, _HIGH, _ORIGINAL = 1.0, 4.0, 8192  # of every Llama 3 published
_ROPE_TOLERANCE = 1e-4  # relative; the list is float32


def family_of(header: Header, path: Path) -> Family:
    """Return the family of a GGUF file.

    Raises:
        InputError: an architecture that is not in the table.
    """
    name = header.fields.get("general.architecture")
    found = [family for family in families.FAMILIES.values() if family.gguf == name]
    if not found:
        known = sorted({family.gguf for family in families.FAMILIES.values()})
        raise InputError(
            f"{path}: general.architecture is {name!r}; supported: {', '.join(known)}: choose a "
            "model of one of these families"
        )
    return found[0]


def config_of(header: Header, path: Path) -> dict[str, Any]:
    """Return config.json's content, `tie_word_embeddings` left out.

    Raises:
        InputError: another family, metadata that are missing or of another type, or a setting that
            is not carried (see `families.check`).
    """
    family = family_of(header, path)
    fields = _Fields(header, family.gguf, path)
    heads, width = fields.number("attention.head_count"), fields.number("embedding_length")
    head_dim = fields.number("attention.key_length", width // max(heads, 1))
    config = {
        "architectures": [family.architecture],
        "model_type": family.model_type,
        "hidden_size": width,
        "intermediate_size": fields.number("feed_forward_length"),
        "num_hidden_layers": fields.number("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": fields.number("attention.head_count_kv", heads),
        "head_dim": head_dim,
        "max_position_embeddings": fields.number("context_length"),
        # The file holds a float32 of the configured decimal number.
        "rms_norm_eps": float(f"{fields.real('attention.layer_norm_rms_epsilon'):.6g}"),
        "rope_theta": fields.real("rope.freq_base", rotary.DEFAULT_THETA),
        "hidden_act": "silu",
        "vocab_size": _rows(header, path),
    }
    turned = fields.number("rope.dimension_count", head_dim)
    value_dim = fields.number("attention.value_length", head_dim)
    experts = fields.number("expert_count", 0)
    scaling = header.fields.get(f"{family.gguf}.rope.scaling.type", "none")
    unusual = {
        "partial_rotary_factor": (turned / head_dim, turned != head_dim),
        "num_local_experts": (experts, experts),
        "rope_scaling": ({"rope_type": scaling}, scaling != "none"),
    }
    families.check(config | {k: value for k, (value, used) in unusual.items() if used}, path)
    if value_dim != head_dim:
        raise InputError(f"{path}: keys have width {head_dim}, values {value_dim}: no family has")
    if any(tensor.name == ROPE_FACTORS for tensor in header.tensors):
        config |= _scaled(_factors(header, path), config, path)
    for role, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding")):
        config[f"{role}_token_id"] = header.fields.get(f"tokenizer.ggml.{key}_token_id")
    return config


class _Fields:
    """The metadata of one architecture, each of the type that it must have."""

    def __init__(self, header: Header, architecture: str, path: Path) -> None:
        self._fields, self._prefix, self._path = header.fields, architecture, path

    def number(self, key: str, default: int | None = None) -> int:
        value = self._fields.get(f"{self._prefix}.{key}", default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self._wrong(key, value, "a whole number")
        return value

    def real(self, key: str, default: float | None = None) -> float:
        value = self._fields.get(f"{self._prefix}.{key}", default)
        if not isinstance(value, float) or not value > 0:
            raise self._wrong(key, value, "a number above 0")
        return value

    def _wrong(self, key: str, value: object, wanted: str) -> InputError:
        return InputError(
            f"{self._path}: {self._prefix}.{key} is {value!r:.80}; {wanted} is needed: use the "
            "model's Hugging Face folder"
        )


def _rows(header: Header, path: Path) -> int:
    rows = next((t.shape[-1] for t in header.tensors if t.name == "token_embd.weight"), 0)
    ids = len(header.fields.get("tokenizer.ggml.tokens", []))
    if not 0 < ids <= rows:
        raise InputError(f"{path}: {ids} tokens, an embedding of {rows} rows: not of one model")
    return rows


def _factors(header: Header, path: Path) -> np.ndarray:
    """Return by how much each rotary angle is slowed down, float32 [head_dim / 2]."""
    tensor = next(t for t in header.tensors if t.name == ROPE_FACTORS)
    if tensor.type.name != "F32":
        raise InputError(f"{path}: {ROPE_FACTORS} is {tensor.type.name}; F32 is needed")
    begin = header.start + tensor.offset
    content = np.memmap(path, mode="r")[begin : begin + tensor.num_bytes]
    factors: np.ndarray = np.frombuffer(content.tobytes(), dtype="<f4")
    return factors


def _scaled(factors: np.ndarray, config: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return `rope_scaling` whose factors are these.

    Of llama3's four numbers the largest factor is one. The others count by their ratios only, and
    every published model has `low_freq_factor` 1 and `high_freq_factor` 4, so any factor between
    gives the original context.

    Raises:
        InputError: no such rule gives these factors.
    """
    if np.all(factors == 1):
        return {}
    largest, head_dim = float(factors.max()), config["head_dim"]
    plain = rotary.Rotary("default", config["rope_theta"])
    waves = 2 * np.pi / np.asarray(plain.frequencies(head_dim))
    tried = {_ORIGINAL}
    if len(factors) == len(waves):
        between = (factors > 1) & (factors < largest)
        smooth = (1 / factors[between] - 1 / largest) / (1 - 1 / largest)
        tried |= set(np.rint(waves[between] * (_LOW + smooth * (_HIGH - _LOW))).astype(int))
    for original in sorted(int(number) for number in tried):
        rule = rotary.Llama3(largest, _LOW, _HIGH, original)
        wanted = rotary.Rotary("llama3", config["rope_theta"], rule).factors(head_dim)
        if len(wanted) == len(factors) and np.allclose(factors, wanted, rtol=_ROPE_TOLERANCE):
            return {"rope_scaling": {"rope_type": "llama3", **rule.__dict__}}
    raise InputError(
        f"{path}: {ROPE_FACTORS} are not those of llama3's scaling; supported: "
        "rope_type default, llama3: use the model's Hugging Face folder"
    )
