"""A GGUF file as an artefact: tokenizer and chat template come out of its metadata.

The ids that end an answer are those that llama.cpp itself takes for ends, so answers end here where
they end in any other program that runs the file.
"""

import math
from collections import Counter
from pathlib import Path

from gguf import LlamaFileType

from potstill.adoption import folder
from potstill.errors import InputError
from potstill.models import gguf_header
from potstill.models.chat import read_tokenizer
from potstill.models.gguf_header import Header
from potstill.runtime import llama_cpp
from potstill.sources import gguf_config, gguf_tokenizer

MODEL_FILE = "model.gguf"


def bring(source: Path, out: Path) -> list[str]:
    """Write the artefact of a GGUF file into the empty folder `out`; return notes.

    Raises:
        InputError: damaged, of an architecture or with a tokenizer that is not carried, one part of
            several, or llama.cpp refuses it.
    """
    family = gguf_config.family_of(gguf_header.read_header(source), source)
    header = gguf_header.check_model(source)
    fields = header.fields
    if fields.get("split.count", 1) > 1:
        raise InputError(
            f"{source} is one of {fields['split.count']} parts: join them with "
            "`llama-gguf-split --merge`"
        )
    if fields.get(f"{family.gguf}.pooling_type"):
        raise InputError(f"{source} is an embedding model, which writes no answers: take another")
    for name, text in gguf_tokenizer.tokenizer_files(fields).items():
        (out / name).write_text(text, encoding="utf-8")
    note = folder.take(source, out / MODEL_FILE)
    stop_ids = sorted(llama_cpp.end_ids(source))
    tokenizer = read_tokenizer(out)
    folder.describe(
        out,
        tokenizer,
        model_file=MODEL_FILE,
        stop_ids=stop_ids,
        format="gguf",
        quantisation=_quantisation(header),
        chat_template=fields.get("tokenizer.chat_template", ""),
        bos_id=fields.get("tokenizer.ggml.bos_token_id"),
        context=fields[f"{family.gguf}.context_length"],
        vocab_size=len(fields["tokenizer.ggml.tokens"]),
        num_parameters=sum(
            math.prod(tensor.shape)
            for tensor in header.tensors
            if tensor.name != gguf_config.ROPE_FACTORS
        ),
        tensor_types=dict(sorted(Counter(t.type.name for t in header.tensors).items())),
        adopted_from=source.name,
    )
    return [note]


def _quantisation(header: Header) -> str:
    """Return llama.cpp's name of the mixture ("q4_k_m"); without one the type of most weights."""
    kind = header.fields.get("general.file_type")
    if kind in [known.value for known in LlamaFileType]:
        return LlamaFileType(kind).name.partition("_")[2].lower()
    weights: Counter[str] = Counter()
    for tensor in header.tensors:
        weights[tensor.type.name] += math.prod(tensor.shape)
    return weights.most_common(1)[0][0].lower()
