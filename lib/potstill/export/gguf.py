"""Export to GGUF for llama.cpp: written by llama.cpp's own converter, quantised by llama.cpp.

The converter (see `converter.py`) writes float16 matrices and float32 norms and biases of every
architecture that it knows. Ours is what it cannot do or does not check: the vocabulary where it
would not know it (see `gguf_vocabulary.py`), a tied head stored again, weights that float16 cannot
hold, and settings of our families that llama.cpp would compute differently.

Tensors are read, cast and written one by one, and llama.cpp quantises them one by one from the
float16 file, which is beside the result until then: memory holds a few tensors, disk 2 bytes a
weight. Inside a pipeline's folder the last float16 file is kept below `.potstill`, since several
variants are made from one checkpoint.

llama.cpp chooses the type of every tensor of a quantised file: rows that are not whole blocks of
the wanted type fall back to a larger one, so artifact.json counts the types that came out. Of the
head, which every token reads whole, `q4_k_m` keeps 6.6 bits a weight, and 8.5 where its width is no
multiple of 256: in a small model a large part of the file. `q4_k_m_head_q5_0` keeps 5.5 there.

Where an importance matrix lies beside the checkpoint (`hints.importance`), llama.cpp rounds by it.
It then chooses other types for some tensors, too. `stated` gives each matrix the type that
`hints.tensor_types` states, and those that are quantised already the bytes of `hints.blocks`.
"""

import ctypes
import re
from collections import Counter
from pathlib import Path
from typing import Any

from potstill import gguf_names
from potstill.errors import InputError
from potstill.export import converter, gguf_blocks, gguf_float16
from potstill.hints import blocks, importance
from potstill.hints import tensor_types as stated
from potstill.hints.importance import Importance
from potstill.hints.tensor_types import Types

MODEL_FILE = "model.gguf"
QUANTISATIONS = ("f16", "bf16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_0", "iq4_nl", "iq4_xs",
                 "q4_k_m_head_q5_0", "stated")  # fmt: skip
PLAIN = ("f16", "bf16")  # each number for itself
CACHES = ("q8_0", "q4_0")  # what llama.cpp may keep keys and values in instead of float16
STOCK = tuple(name for name in QUANTISATIONS if name != stated.STATED)  # llama.cpp's own mixtures
EMBEDDING = "token_embd.weight"


def export(checkpoint: Path, out: Path, *, quantisation: str) -> dict[str, Any]:
    """Write `model.gguf` into `out`.

    Returns:
        `tensor_types`: how many tensors have each type; `token_embedding_type`; `importance`:
        of how many tensors llama.cpp knew which inputs matter;
        `converter`: version and SHA-256 of llama.cpp's converter.

    Raises:
        InputError: an architecture, a setting or a tokenizer that llama.cpp does not carry, weights
            that float16 cannot hold, or llama.cpp refuses to quantise.
        MissingPackageError: the converter is not there.
    """
    final, known = out / MODEL_FILE, importance.read(checkpoint)
    types = stated.read(checkpoint) if quantisation == stated.STATED else {}
    if quantisation == "f16":
        gguf_float16.write(checkpoint, final, passing=False)
    else:
        plain = out / "f16.gguf"
        gguf_float16.write(checkpoint, plain, passing=True)
        _quantise(plain, final, quantisation, known, types)
        if quantisation == stated.STATED:
            gguf_blocks.write(final, blocks.read(checkpoint), checkpoint)
        plain.unlink()
    return {
        "tensor_types": tensor_types(final),
        "token_embedding_type": embedding_type(final),
        "importance": len(known) if quantisation not in PLAIN else 0,
        "converter": f"{converter.PACKAGE} {converter.VERSION} sha256:{converter.TREE_SHA256}",
    }


def tensor_types(path: Path) -> dict[str, int]:
    """Return how many tensors of a GGUF file have each type, by ggml's names ("Q5_0")."""
    from potstill.models.gguf_header import read_header

    return dict(sorted(Counter(t.type.name for t in read_header(path).tensors).items()))


def embedding_type(path: Path) -> str:
    """Return the type of the token embedding, which is the head too where it is tied."""
    from potstill.models.gguf_header import read_header

    return next(t.type.name for t in read_header(path).tensors if t.name == EMBEDDING)


def _quantise(
    source: Path, target: Path, quantisation: str, known: Importance, types: Types
) -> None:
    import llama_cpp

    from potstill.runtime.llama_library import take_errors

    mixture, _, head = quantisation.partition("_head_")
    params = llama_cpp.llama_model_quantize_default_params()
    # of stated types no matrix takes the file's own
    base = "Q4_0" if quantisation == stated.STATED else mixture.upper()
    params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{base}")
    entries, overrides = _entries(known), _overrides(types)  # which llama.cpp reads when called
    if known:
        params.imatrix = entries
    if types:
        params.tt_overrides = overrides
    if head:  # both, for a tied head is stored as the embedding
        kind = getattr(llama_cpp, f"GGML_TYPE_{head.upper()}")
        params.token_embedding_type = params.output_tensor_type = kind
    code = llama_cpp.llama_model_quantize(
        str(source).encode(), str(target).encode(), ctypes.byref(params)
    )
    if code:
        raise InputError(f"llama.cpp cannot quantise to {quantisation}: {take_errors()}")


def _entries(known: Importance) -> Any:  # noqa: ANN401 - a ctypes array
    """Return an importance matrix as llama.cpp takes it: an array that ends with no name."""
    import llama_cpp

    entries = (llama_cpp.llama_model_imatrix_data * (len(known) + 1))()
    for entry, (name, values) in zip(entries, known.items(), strict=False):
        entry.name = gguf_names.named(name).encode()
        entry.data = values.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        entry.size = len(values)
    return entries


def _overrides(types: Types) -> Any:  # noqa: ANN401 - a ctypes array
    """Return types as llama.cpp takes them: patterns of names, then one without a pattern."""
    import llama_cpp

    entries = (llama_cpp.llama_model_tensor_override * (len(types) + 1))()
    for entry, (name, kind) in zip(entries, types.items(), strict=False):
        entry.pattern = f"^{re.escape(gguf_names.named(name))}$".encode()
        entry.type = getattr(llama_cpp, f"GGML_TYPE_{kind}")
    return entries
