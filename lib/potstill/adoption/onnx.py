"""An ONNX folder as an artefact, as `optimum-cli export onnx` writes one.

What such a folder does not tell without reading the graph, `quantisation` and `num_parameters`, is
null in artifact.json.
"""

import shutil
from pathlib import Path

from potstill import files
from potstill.adoption import folder
from potstill.errors import InputError
from potstill.models import checkpoint
from potstill.models.chat import end_ids, special_tokens, template_of
from potstill.runtime import onnx_runtime

MODEL_FILE = "model.onnx"
_NEEDED = ("tokenizer.json", "tokenizer_config.json", "config.json")


def bring(source: Path, out: Path) -> list[str]:
    """Write the artefact of an ONNX folder into the empty folder `out`; return notes.

    Weights that lie outside model.onnx (model.onnx_data) come along.

    Raises:
        InputError: a file is missing, or the graph is not that of a decoder with a cache.
    """
    import tokenizers

    missing = [name for name in _NEEDED if not (source / name).is_file()]
    if missing:
        raise InputError(f"{source} lacks {', '.join(missing)}: copy it from the model's folder")
    config = files.read_json(source / "config.json")
    sizes = {key: config.get(key) for key in ("max_position_embeddings", "vocab_size")}
    wrong = [key for key, size in sizes.items() if not isinstance(size, int) or size < 1]
    if wrong:
        raise InputError(f"{source / 'config.json'} has no {wrong[0]}: it is of no language model")
    notes = [
        folder.take(path, out / path.name)
        for path in sorted(source.glob(f"{MODEL_FILE}*"))
        if path.is_file()
    ]
    for name in checkpoint.TOKENIZER_FILES:
        if (source / name).exists():
            shutil.copyfile(source / name, out / name)
    tokenizer = tokenizers.Tokenizer.from_file(str(out / "tokenizer.json"))
    special = special_tokens(files.read_json(out / "tokenizer_config.json"))
    stop_ids = sorted(end_ids(source, tokenizer, special.get("eos_token")))
    bos = special.get("bos_token")
    folder.describe(
        out,
        tokenizer,
        model_file=MODEL_FILE,
        stop_ids=stop_ids,
        format="onnx",
        quantisation=None,
        chat_template=template_of(out),
        bos_id=tokenizer.token_to_id(bos) if bos else None,
        context=sizes["max_position_embeddings"],
        vocab_size=sizes["vocab_size"],
        num_parameters=None,
        adopted_from=source.name,
    )
    onnx_runtime.load(out, threads=1, context=1).close()
    return notes
