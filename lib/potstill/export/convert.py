"""Run llama.cpp's converter on one checkpoint, in a process of its own.

A process, because the converter brings its own `gguf`, another than the installed package. Run as
`python -I -B convert.py JOB`, JOB a JSON file as `gguf.py` writes it:

    converter   the folder that `converter.check` returned
    model       a folder with config.json, weight files and nothing that shall not be read
    out         the file to write, float16
    name        for `general.name`
    vocabulary  method of GGUFWriter -> its argument, or null for the converter's own way
    whole       config.json leaves nothing out, so transformers need not be asked

Exit code 1 with the reason in the last line of stderr where the converter refuses.
"""

import ctypes
import importlib
import json
import logging
import os
import signal
import sys
import types
from pathlib import Path
from typing import Any


def main(job: dict[str, Any]) -> None:
    """Convert; tensors are read, cast and written one by one."""
    _die_with_parent()
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    for part in ("", "gguf-py"):
        sys.path.insert(0, str(Path(job["converter"]) / part))
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    if job["whole"]:
        _without_transformers()
    conversion: Any = importlib.import_module("conversion")
    gguf: Any = importlib.import_module("gguf")
    base, folder = conversion.ModelBase, Path(job["model"])
    if job["whole"]:
        base.load_hparams = staticmethod(_config)
    config = base.load_hparams(folder, False)
    name = conversion.get_model_architecture(config, conversion.ModelType.TEXT)
    model = _adapt(conversion.get_model_class(name), config, job["vocabulary"])
    out = Path(job["out"])
    model(folder, gguf.LlamaFileType.MOSTLY_F16, out, model_name=job["name"]).write()


def _die_with_parent() -> None:
    """Let the kernel end this process with the stage: a rerun must not meet a second writer."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() == 1:
            sys.exit("the stage died")


def _config(dir_model: Path, is_mistral_format: bool) -> dict[str, Any]:
    """Stand for `ModelBase.load_hparams`, by the names of its parameters."""
    assert not is_mistral_format, "another layout than transformers'"
    config: dict[str, Any] = json.loads((dir_model / "config.json").read_text(encoding="utf-8"))
    return config


def _without_transformers() -> None:
    """Save the two seconds of an import that is used for what config.json leaves out."""
    module: Any = types.ModuleType("transformers")
    module.AutoConfig = None
    sys.modules["transformers"] = module


def _adapt(known: Any, config: dict[str, Any], vocabulary: dict[str, Any] | None) -> Any:  # noqa: ANN401
    """Return the converter's class with our vocabulary, and without a tied head stored again."""

    def set_vocab(self: Any) -> None:  # noqa: ANN401
        for method, argument in (vocabulary or {}).items():
            getattr(self.gguf_writer, method)(argument)

    def filter_tensors(cls: Any, item: tuple[str, Any]) -> Any:  # noqa: ANN401
        if item[0] == "lm_head.weight" and config.get("tie_word_embeddings"):
            return None  # llama.cpp uses the embedding where there is no head
        return super(adapted, cls).filter_tensors(item)

    members: dict[str, Any] = {"model_arch": known.model_arch}
    members["filter_tensors"] = classmethod(filter_tensors)
    if vocabulary is not None:
        members["set_vocab"] = set_vocab
    adapted: Any = type(known.__name__, (known,), members)
    return adapted


if __name__ == "__main__":
    try:
        main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    except Exception as error:
        text = " ".join(str(error).split()) or "no reason given"
        sys.exit(f"{type(error).__name__}: {text}")
