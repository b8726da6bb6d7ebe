"""An ONNX folder as an artefact, as optimum or onnxruntime-genai writes one.

What such a folder does not tell without reading the graph, `quantisation` and `num_parameters`, is
null in artifact.json. A genai folder has genai_config.json in the place of config.json, and its
graph leaves the width of the cache open: artifact.json states it as `cache_width`.
"""

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

from potstill import files
from potstill.adoption import folder
from potstill.errors import InputError
from potstill.models import checkpoint
from potstill.models.chat import end_ids, read_tokenizer, special_tokens, template_of
from potstill.runtime import Request, onnx_runtime

MODEL_FILE = "model.onnx"
CONFIG, GENAI_CONFIG = "config.json", "genai_config.json"


def model_file(source: Path) -> str:
    """Return the name of the graph: model.onnx, or the only one; empty where there is none.

    Raises:
        InputError: there are several, as of older exports: one without a cache, one with.
    """
    names = sorted(path.name for path in source.glob("*.onnx"))
    if MODEL_FILE in names:
        return MODEL_FILE
    if len(names) > 1:
        raise InputError(
            f"{source} holds {', '.join(names)} and no {MODEL_FILE}: export again with "
            "`optimum-cli export onnx --task text-generation-with-past` of today, which writes "
            "one decoder, or leave one file"
        )
    return names[0] if names else ""


def bring(source: Path, out: Path) -> list[str]:
    """Write the artefact of an ONNX folder into the empty folder `out`; return notes.

    Weights that lie outside the graph's file (model.onnx_data, model.onnx.data) come along.

    Raises:
        InputError: a file is missing or damaged, or the graph is not that of a decoder with a
            cache.
    """
    config_file = GENAI_CONFIG if (source / GENAI_CONFIG).is_file() else CONFIG
    needed = ("tokenizer.json", "tokenizer_config.json", config_file)
    missing = [name for name in needed if not (source / name).is_file()]
    if missing:
        raise InputError(f"{source} lacks {', '.join(missing)}: copy it from the model's folder")
    config = _config(source / config_file)
    graph = model_file(source)
    notes = [
        folder.take(path, out / path.name)
        for path in sorted({*source.glob(f"{graph}*"), *source.glob(f"{MODEL_FILE}[._]data")})
        if path.is_file()
    ]
    for name in checkpoint.TOKENIZER_FILES:
        if (source / name).exists():
            shutil.copyfile(source / name, out / name)
    tokenizer = read_tokenizer(out)
    special = special_tokens(files.read_json(out / "tokenizer_config.json"))
    if config_file == GENAI_CONFIG:
        files.write_json(out / "generation_config.json", {"eos_token_id": config["eos_token_id"]})
    ends = out if config_file == GENAI_CONFIG else source
    stop_ids = sorted(end_ids(ends, tokenizer, special.get("eos_token")))
    bos = special.get("bos_token")
    folder.describe(
        out,
        tokenizer,
        model_file=graph,
        stop_ids=stop_ids,
        format="onnx",
        quantisation=None,
        chat_template=template_of(out),
        bos_id=tokenizer.token_to_id(bos) if bos else None,
        context=config["context"],
        vocab_size=config["vocab_size"],
        num_parameters=None,
        cache_width=config["cache_width"],
        adopted_from=source.name,
    )
    try:
        with closing(onnx_runtime.load(out, threads=1, context=4)) as model:
            model.generate([Request([0, 0], 2)])  # with an empty cache, and with one
    except InputError as error:  # the folder `out` is not to stay
        raise InputError(str(error).replace(str(out), str(source))) from None
    return notes


def _config(path: Path) -> dict[str, Any]:
    """Return context, vocab_size and, of a genai folder, cache_width and eos_token_id.

    Raises:
        InputError: it is of no language model.
    """
    config = files.read_json(path)
    is_genai = path.name == GENAI_CONFIG
    model = config.get("model") if is_genai and isinstance(config, dict) else config
    model = model if isinstance(model, dict) else {}
    context = "context_length" if is_genai else "max_position_embeddings"
    for key in (context, "vocab_size"):
        if not isinstance(model.get(key), int) or model[key] < 1:
            raise InputError(f"{path} has no {key}: it is of no language model")
    decoder = model.get("decoder") or {}
    return {
        "context": model[context],
        "vocab_size": model["vocab_size"],
        "eos_token_id": model.get("eos_token_id"),
        "cache_width": decoder.get("head_size") if is_genai else None,
    }
