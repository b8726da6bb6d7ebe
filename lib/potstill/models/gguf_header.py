"""Read the header of a GGUF file, distrusting every number in it.

llama.cpp ends the whole process on some damaged files, so nothing reaches it that has not passed
here: every count, length and offset must lie inside the file. Weights are not looked at.

Source: the GGUF specification, `docs/gguf.md` of ggml, version 3, little-endian.
"""

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType

from potstill.errors import InputError

MAGIC = b"GGUF"
VERSION = 3
DEFAULT_ALIGNMENT = 32
MAX_DIMS = 4  # GGML_MAX_DIMS
MAX_NAME_BYTES = 63  # GGML_MAX_NAME, less the final zero
MAX_KEY_BYTES = 65_535
_SCALARS = {
    GGUFValueType.UINT8: "B", GGUFValueType.INT8: "b",
    GGUFValueType.UINT16: "H", GGUFValueType.INT16: "h",
    GGUFValueType.UINT32: "I", GGUFValueType.INT32: "i",
    GGUFValueType.UINT64: "Q", GGUFValueType.INT64: "q",
    GGUFValueType.FLOAT32: "f", GGUFValueType.FLOAT64: "d", GGUFValueType.BOOL: "?",
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """Where one tensor lies; `shape` has the fastest axis first, as the file does."""

    name: str
    shape: tuple[int, ...]
    type: GGMLQuantizationType
    offset: int  # from the header's `start`
    num_bytes: int


@dataclass(frozen=True)
class Header:
    """All of a GGUF file but its weights, which begin at byte `start`.

    `kinds` has a pair for an array: (ARRAY, element).
    """

    fields: dict[str, Any]
    kinds: dict[str, tuple[GGUFValueType, ...]]
    tensors: list[Tensor]
    start: int


def read_header(path: Path) -> Header:
    """Read and check the header of a GGUF file.

    Raises:
        InputError: the file is missing, truncated or not a GGUF file of the version supported, or
            a number in it cannot be true.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if size < len(MAGIC):
                raise ValueError(f"{size} bytes")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _parse(_Cursor(data, size))
    except FileNotFoundError:
        raise InputError(f"{path} is missing: export the artefact again") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} is not a whole GGUF file ({error}): fetch or export it again"
        ) from None


class _Cursor:
    """A position in the file that never leaves it."""

    def __init__(self, data: mmap.mmap, size: int) -> None:
        self.data, self.size, self.at = data, size, 0

    def take(self, num_bytes: int, what: str) -> bytes:
        if num_bytes > self.size - self.at:
            raise ValueError(f"truncated: {what} at byte {self.at} goes past the end, {self.size}")
        taken = self.data[self.at : self.at + num_bytes]
        self.at += num_bytes
        return taken

    def number(self, code: str, what: str) -> Any:  # noqa: ANN401 - int, float or bool by code
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code), what))[0]

    def text(self, what: str) -> str:
        return self.take(self.number("Q", what), what).decode("utf-8")

    def count(self, smallest: int, what: str) -> int:
        """Read how many items of at least `smallest` bytes follow."""
        count: int = self.number("Q", what)
        if count * smallest > self.size - self.at:
            raise ValueError(f"{what} is {count}, more than the file can hold")
        return count


def _parse(cursor: _Cursor) -> Header:
    if cursor.take(len(MAGIC), "magic") != MAGIC:
        raise ValueError("it does not begin with GGUF")
    version = cursor.number("I", "version")
    if version != VERSION:
        raise ValueError(f"version {version}; supported: {VERSION}")
    num_tensors = cursor.count(8 + 4 + 4 + 8, "the number of tensors")
    num_fields = cursor.count(8 + 4 + 1, "the number of keys")
    fields: dict[str, Any] = {}
    kinds: dict[str, tuple[GGUFValueType, ...]] = {}
    for _ in range(num_fields):
        key = cursor.text("a key")
        if key in fields or not 0 < len(key.encode()) <= MAX_KEY_BYTES:
            raise ValueError(f"key {key[:40]!r} occurs twice, is empty or too long")
        fields[key], kinds[key] = _value(cursor, key)
    tensors = [_tensor(cursor) for _ in range(num_tensors)]
    if len({tensor.name for tensor in tensors}) != num_tensors:
        raise ValueError("a tensor's name occurs twice")
    return Header(fields, kinds, tensors, _check_extents(fields, tensors, cursor))


def _kind(cursor: _Cursor, key: str) -> GGUFValueType:
    return GGUFValueType(cursor.number("I", key))


def _value(cursor: _Cursor, key: str) -> tuple[Any, tuple[GGUFValueType, ...]]:
    kind = _kind(cursor, key)
    if kind in _SCALARS:
        return cursor.number(_SCALARS[kind], key), (kind,)
    if kind == GGUFValueType.STRING:
        return cursor.text(key), (kind,)
    inner = _kind(cursor, key)
    if inner == GGUFValueType.ARRAY:
        raise ValueError(f"key {key!r} is an array of arrays")
    if inner == GGUFValueType.STRING:
        length = cursor.count(8, key)
        return [cursor.text(key) for _ in range(length)], (kind, inner)
    width = struct.calcsize("<" + _SCALARS[inner])
    length = cursor.count(width, key)
    numbers = cursor.take(length * width, key)
    return list(struct.unpack(f"<{length}{_SCALARS[inner]}", numbers)), (kind, inner)


def _tensor(cursor: _Cursor) -> Tensor:
    name = cursor.text("a tensor's name")
    num_dims = cursor.number("I", name)
    if not 0 < len(name.encode()) <= MAX_NAME_BYTES or not 0 < num_dims <= MAX_DIMS:
        raise ValueError(f"tensor {name[:40]!r} has {num_dims} dimensions or a bad name")
    shape = struct.unpack(f"<{num_dims}Q", cursor.take(8 * num_dims, name))
    kind, offset = GGMLQuantizationType(cursor.number("I", name)), cursor.number("Q", name)
    block, block_bytes = GGML_QUANT_SIZES[kind]
    if not all(shape) or shape[0] % block:
        raise ValueError(f"tensor {name!r} has shape {shape}, not whole blocks of {block}")
    return Tensor(name, shape, kind, offset, math.prod(shape) // block * block_bytes)


def _check_extents(fields: dict[str, Any], tensors: list[Tensor], cursor: _Cursor) -> int:
    """Return where the weights begin; refuse tensors not aligned, overlapping or past the end."""
    alignment = fields.get("general.alignment", DEFAULT_ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 8 or alignment & (alignment - 1):
        raise ValueError(f"general.alignment is {alignment}, not a power of two from 8")
    start = -(-cursor.at // alignment) * alignment
    end = 0
    for tensor in tensors:  # ggml wants them in order and without gaps
        if tensor.offset != -(-end // alignment) * alignment:
            raise ValueError(f"tensor {tensor.name!r} has offset {tensor.offset}, expected {end}")
        end = tensor.offset + tensor.num_bytes
        if start + end > cursor.size:
            raise ValueError(
                f"truncated: tensor {tensor.name!r} ends at byte {start + end}, "
                f"the file at {cursor.size}"
            )
    return start


# What each of llama.cpp's kinds of tokenizer needs besides tokens and their types.
_OF_TOKENIZER: dict[str, dict[str, tuple[GGUFValueType, ...]]] = {
    "gpt2": {
        "tokenizer.ggml.pre": (GGUFValueType.STRING,),
        "tokenizer.ggml.merges": (GGUFValueType.ARRAY, GGUFValueType.STRING),
    },
    "llama": {"tokenizer.ggml.scores": (GGUFValueType.ARRAY, GGUFValueType.FLOAT32)},
}


def check_model(path: Path) -> Header:
    """Read a header and check the settings on which llama.cpp divides or indexes unchecked.

    Raises:
        InputError: as `read_header`, or a setting is missing, of another type or out of range.
    """
    header = read_header(path)
    try:
        _check_settings(header)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{path} is not a model for llama.cpp ({error}): export it again"
        ) from None
    return header


def _check_settings(header: Header) -> None:
    fields, kinds = header.fields, header.kinds
    family, tokenizer = fields.get("general.architecture"), fields.get("tokenizer.ggml.model")
    if tokenizer not in _OF_TOKENIZER:
        raise ValueError(f"tokenizer.ggml.model is {tokenizer!r}; {', '.join(_OF_TOKENIZER)} run")
    wanted: dict[str, tuple[GGUFValueType, ...]] = {
        "tokenizer.ggml.model": (GGUFValueType.STRING,),
        "tokenizer.ggml.tokens": (GGUFValueType.ARRAY, GGUFValueType.STRING),
        "tokenizer.ggml.token_type": (GGUFValueType.ARRAY, GGUFValueType.INT32),
        **_OF_TOKENIZER[tokenizer],
    }
    sizes = ("block_count", "context_length", "embedding_length", "feed_forward_length",
             "attention.head_count", "attention.head_count_kv")  # fmt: skip
    own = ("attention.key_length", "attention.value_length")  # of a head, where it is stated
    stated = [name for name in own if f"{family}.{name}" in fields]
    wanted |= {f"{family}.{name}": (GGUFValueType.UINT32,) for name in (*sizes, *stated)}
    for key, kind in wanted.items():
        if kinds.get(key) != kind:
            raise ValueError(f"{key} is missing or of another type")
    _, _, width, _, heads, kv_heads = (fields[f"{family}.{name}"] for name in sizes)
    head_width = fields.get(f"{family}.attention.key_length", 0)
    fits = min(fields[f"{family}.{name}"] for name in sizes) > 0 and heads % kv_heads == 0
    if not fits or (not head_width and width % heads):
        raise ValueError(f"width {width}, heads {heads}, key-value heads {kv_heads} do not fit")
    _check_tokens(fields)


def _check_tokens(fields: dict[str, Any]) -> None:
    tokens = fields["tokenizer.ggml.tokens"]
    if len(set(tokens)) < len(tokens):  # llama.cpp ends the process on it
        raise ValueError("two tokens have the same text")
    for key in ("token_type", "scores"):
        if len(fields.get(f"tokenizer.ggml.{key}", tokens)) != len(tokens):
            raise ValueError(f"tokens and {key} differ in length")
    for key, value in fields.items():
        if key.endswith("_token_id") and not (isinstance(value, int) and 0 <= value < len(tokens)):
            raise ValueError(f"{key} is {value}, the vocabulary has {len(tokens)}")
    if fields["tokenizer.ggml.model"] == "llama":  # llama.cpp looks bytes up without asking
        lost = {f"<0x{byte:02X}>" for byte in range(256)} - set(tokens)
        if lost:
            raise ValueError(f"the vocabulary lacks {min(lost)}")
