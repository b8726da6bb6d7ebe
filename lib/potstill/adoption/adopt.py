"""From a stranger's GGUF file, ONNX folder or checkpoint folder to an artefact.

A GGUF file or an ONNX folder is taken as it is; a checkpoint is exported first. What comes out is a
folder like those of `potstill.export.build`; artifact.json says besides in `adopted_from` what it
was made of.
"""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from potstill import files, runtime
from potstill.errors import InputError
from potstill.models import checkpoint
from potstill.runtime import artifact


def adopt(source: Path, out: Path, cache: str | None = None) -> list[str]:
    """Write the artefact of `source` into the new folder `out`; it is there whole or not at all.

    Args:
        source: a GGUF file, a folder with model.onnx, config.json (or genai_config.json) and a
            tokenizer, or a Hugging Face checkpoint folder (which needs the pipeline's packages).
        out: the folder to make.
        cache: what llama.cpp shall keep keys and values in; see `potstill.export.split`.

    Returns:
        Notes for the user, one line each: linked or copied, what the artefact lacks.

    Raises:
        InputError: `source` is none of these, is damaged or cannot be run, or not with that cache,
            or `out` exists.
        MissingPackageError: a package that this needs is not installed.
    """
    bring = _kind(source)
    if out.exists():
        raise InputError(f"{out} exists: delete it, or name another folder with --out")
    partial = files.partial_path(out)
    files.remove(partial)
    partial.mkdir(parents=True)
    try:
        notes = bring(source, partial)
        if cache:
            _state(cache, partial)
        template = artifact.read(partial)["chat_template"]
        files.publish(partial, out)
    except BaseException:
        files.remove(partial)
        raise
    if not template:
        notes.append(
            "no chat template, as a base model has none: tasks that ask in messages are not run"
        )
    return notes


def _kind(source: Path) -> Callable[[Path, Path], list[str]]:
    """Return what brings a source of this kind."""
    if source.is_file():
        from potstill.adoption import gguf

        return gguf.bring
    if not source.is_dir():
        raise InputError(f"{source} is no file and no folder: name a GGUF file or a folder")
    if (source / artifact.NAME).exists():
        raise InputError(f"{source} is an artefact already: use it as it is")
    if any(source.glob("*.onnx")):
        from potstill.adoption import onnx

        onnx.model_file(source)
        return onnx.bring
    if below := sorted(path.relative_to(source).as_posix() for path in source.glob("*/*.onnx")):
        raise InputError(
            f"{source} holds {', '.join(below[:3])}: copy one of them, and its .data file, beside "
            "config.json"
        )
    if any((source / name).exists() for name in (checkpoint.WEIGHTS, checkpoint.INDEX)):
        return _export
    raise InputError(
        f"{source} holds neither model.onnx nor {checkpoint.WEIGHTS}; allowed: a GGUF file, an "
        "ONNX folder as optimum or onnxruntime-genai writes it, a Hugging Face checkpoint"
    )


def _state(cache: str, out: Path) -> None:
    """Write the cache into artifact.json, and try whether the runtime can have it."""
    made = artifact.read(out)
    made |= {"quantisation": f"{made['quantisation']}_cache_{cache}", "cache": cache}
    files.write_json(out / artifact.NAME, made)
    with closing(runtime.load(out, threads=1, context=1)):
        pass


def _export(source: Path, out: Path) -> list[str]:
    from potstill.export import build

    build.build(source, out, format="gguf", quantisation="f16")
    return ["the checkpoint was exported to GGUF in float16 by llama.cpp's converter"]
