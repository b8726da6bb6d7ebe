"""A model as compressed-tensors packs it: beside the checkpoint that has its weights as floats.

`compress.oneshot` leaves here what llmcompressor saved: config.json with its `quantization_config`,
and model.safetensors, where each matrix of the layers is integers and scales. All else is float32.

    4 bits  NAME_packed int32 [R, ceil(X / 8)], NAME_scale [R, X / group], NAME_shape int64 [2]
    8 bits  NAME int8 [R, X], NAME_scale [R, 1]; activations are rounded when it runs

Source: compressed_tensors 0.19, `compressors/pack_quantized` and `compressors/naive_quantized`.

Dimensions: R rows, X columns of a matrix.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from potstill.errors import InputError
from potstill.models import checkpoint, families

if TYPE_CHECKING:
    import torch

NAME = "packed"
CONFIG = "quantization_config"
_INTEGERS = {"type": "int", "symmetric": True}
_BITS = {"pack-quantized": 4, "int-quantized": 8}  # of a weight, by compressed-tensors' format
_WEIGHTS: dict[str, dict[str, object]] = {
    "pack-quantized": {**_INTEGERS, "num_bits": 4, "strategy": "group", "dynamic": False},
    "int-quantized": {**_INTEGERS, "num_bits": 8, "strategy": "channel", "dynamic": False},
}
_INPUTS: dict[str, dict[str, object] | None] = {
    "pack-quantized": None,
    "int-quantized": {**_INTEGERS, "num_bits": 8, "strategy": "token", "dynamic": True},
}


@dataclass(frozen=True)
class Scheme:
    """How the matrices of the layers are stored.

    Attributes:
        format: compressed-tensors' name of it.
        bits: of a weight.
        group: columns that share a scale; 0 for a scale a row.
        activation_bits: that inputs of matrices are rounded to; 0 where they stay floats.
    """

    format: str
    bits: int
    group: int
    activation_bits: int


def read(folder: Path) -> Path:
    """Return the packed folder beside a checkpoint, of which every weight is the checkpoint's.

    Raises:
        InputError: there is none, it is damaged, or of another checkpoint.
    """
    import torch

    path = folder / NAME
    if not path.is_dir():
        raise InputError(
            f"{folder} has no folder {NAME}, which format compressed_tensors asks for: make the "
            "checkpoint by `compressed` (method oneshot), or take another format"
        )
    check(path)
    held, own = Weights(path), checkpoint.shapes(folder)
    other = next(iter(sorted(set(held) ^ set(own))), None)
    stated = {**checkpoint.read_config(path), CONFIG: None}
    if stated != {**checkpoint.read_config(folder), CONFIG: None}:
        other = "config.json"
    for name, weight in checkpoint.tensors(folder) if other is None else ():
        if weight.dtype != torch.float32 or not torch.equal(weight, held[name]):
            other = name
            break
    if other is not None:
        raise InputError(f"{path} is not of this checkpoint, for one {other}: make it again")
    return path


def write(folder: Path, saved: Path) -> None:
    """Put what llmcompressor saved beside a checkpoint.

    Raises:
        InputError: it is not as described above.
    """
    check(saved)
    copy(saved, folder / NAME)


def copy(source: Path, out: Path) -> None:
    """Give the files of a packed folder, and no others, a second name in `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for path in [source / "config.json", source / checkpoint.INDEX]:
        if path.exists():
            checkpoint.link(path, out / path.name)
    for path in checkpoint.weight_files(source):
        checkpoint.link(path, out / path.name)


def check(folder: Path) -> Scheme:
    """Return how a packed folder is stored; names, shapes and dtypes of all tensors were compared.

    Nothing but JSON and the headers of the weights is read, and the shapes that tensors state.

    Raises:
        InputError: see `families.check`; another scheme, or a tensor that does not belong there.
    """
    config = checkpoint.read_config(folder)
    families.check({**config, CONFIG: None}, folder)
    found, want = checkpoint.headers(folder), dict[str, tuple[str, list[int]]]()
    how = _scheme(config, folder)
    for name, shape in _matrices(config).items():
        rows, columns = shape
        if how.bits == 8:
            want |= {name: ("I8", shape), f"{name}_scale": ("F32", [rows, 1])}
            continue
        if columns % how.group:
            raise InputError(f"{folder}: groups of {how.group} do not divide {name}, {shape}")
        want[f"{name}_packed"] = ("I32", [rows, -(-columns // 8)])
        want[f"{name}_scale"] = ("F32", [rows, columns // how.group])
        want[f"{name}_shape"] = ("I64", [2])
    want |= {name: ("F32", shape) for name, shape in _floats(config).items()}
    for name in sorted(want.keys() | found.keys()):
        if found.get(name) != want.get(name):
            raise InputError(
                f"{folder}: {name} is {_told(found.get(name))}, {_told(want.get(name))} "
                "was expected: compress it again"
            )
    if how.bits == 4:
        for name, shape in _matrices(config).items():
            if (stated := _tensor(folder, f"{name}_shape").tolist()) != shape:
                raise InputError(f"{folder}: {name}_shape says {stated}, {shape} fits: "
                                 "compress it again")  # fmt: skip
    return how


class Weights(Mapping[str, "torch.Tensor"]):
    """What a packed folder stands for by name, float32: computed by compressed-tensors when asked.

    Args:
        folder: one that was checked.
    """

    def __init__(self, folder: Path) -> None:
        from compressed_tensors.compressors import BaseCompressor
        from compressed_tensors.quantization import QuantizationConfig

        config = checkpoint.read_config(folder)
        stated = QuantizationConfig.model_validate(config[CONFIG])
        (self._scheme,) = stated.config_groups.values()
        self._compressor = BaseCompressor.get_value_from_registry(stated.format)
        self._matrices, self._floats, self._folder = _matrices(config), _floats(config), folder

    def __getitem__(self, name: str) -> "torch.Tensor":
        """Return a weight; it is not kept."""
        if name in self._floats:
            return _tensor(self._folder, name)
        if name not in self._matrices:
            raise KeyError(name)
        module = name.removesuffix("weight")
        parts = self._compressor.compression_param_names(self._scheme)
        state = {part: _tensor(self._folder, module + part) for part in parts}
        made: torch.Tensor = self._compressor.decompress(state, self._scheme)["weight"]
        return made

    def __iter__(self) -> Iterator[str]:
        return iter([*self._matrices, *self._floats])

    def __len__(self) -> int:
        return len(self._matrices) + len(self._floats)


def _scheme(config: Mapping[str, Any], folder: Path) -> Scheme:
    stated, where = config.get(CONFIG), folder / "config.json"
    form = stated.get("format") if isinstance(stated, dict) else None
    if not isinstance(stated, dict) or form not in _BITS:
        raise InputError(
            f"{where}: {CONFIG} has the format {form!r}; {', '.join(_BITS)} are carried: compress "
            "the checkpoint by method oneshot"
        )
    groups = stated.get("config_groups")
    groups = groups if isinstance(groups, dict) else {}
    group: Any = next(iter(groups.values()), None)
    part = {"targets": ["Linear"], "weights": _WEIGHTS[form], "input_activations": _INPUTS[form],
            "output_activations": None}  # fmt: skip
    want: dict[str, object] = {
        "quant_method": "compressed-tensors", "quantization_status": "compressed",
        "ignore": ["lm_head"], "kv_cache_scheme": None, "sparsity_config": {},
        "transform_config": {},
    }  # fmt: skip
    wrong = [*_differing(stated, want), *_differing(group, part)]
    if wrong or len(groups) != 1:
        raise InputError(
            f"{where}: {CONFIG} is not what method oneshot writes "
            f"({', '.join(wrong) or 'several groups'}): compress the checkpoint by it"
        )
    if _BITS[form] == 8:
        return Scheme(form, 8, 0, 8)
    columns = group["weights"].get("group_size")
    if not isinstance(columns, int) or columns < 1:
        raise InputError(f"{where}: group_size is {columns!r}: compress the checkpoint again")
    return Scheme(form, 4, columns, 0)


def _differing(found: object, want: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys under which something is not as wanted; what else is there is passed over."""
    held = found if isinstance(found, dict) else {}
    for key, value in want.items():
        if isinstance(value, dict) and value:
            yield from _differing(held.get(key), value)
        elif key not in held or held[key] != value:
            yield key


def _matrices(config: Mapping[str, Any]) -> dict[str, list[int]]:
    """Return the shapes of the layers' matrices, which are packed."""
    every = families.shapes(config).items()
    return {name: shape for name, shape in every if len(shape) == 2 and ".layers." in name}


def _floats(config: Mapping[str, Any]) -> dict[str, list[int]]:
    """Return the shapes of all else."""
    packed, every = _matrices(config), families.shapes(config)
    head = [config["vocab_size"], config["hidden_size"]]
    untied = {} if families.is_tied(config) else {"lm_head.weight": head}
    return {name: shape for name, shape in (every | untied).items() if name not in packed}


def _told(entry: tuple[str, list[int]] | None) -> str:
    return "missing" if entry is None else f"{entry[0]} {entry[1]}"


def _tensor(folder: Path, name: str) -> "torch.Tensor":
    from safetensors import safe_open

    for path in checkpoint.weight_files(folder):
        with safe_open(path, framework="pt") as file:
            if name in file.keys():  # noqa: SIM118 - not a dictionary
                found: torch.Tensor = file.get_tensor(name)
                return found
    raise KeyError(name)
