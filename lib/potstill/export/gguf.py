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
"""

import ctypes
from collections import Counter
from pathlib import Path
from typing import Any

from potstill.errors import InputError
from potstill.export import converter, gguf_float16

MODEL_FILE = "model.gguf"
QUANTISATIONS = ("f16", "bf16", "q8_0", "q4_k_m", "q4_0", "q4_k_m_head_q5_0")
EMBEDDING = "token_embd.weight"


def export(checkpoint: Path, out: Path, *, quantisation: str) -> dict[str, Any]:
    """Write `model.gguf` into `out`.

    Returns:
        `tensor_types`: how many tensors have each type; `token_embedding_type`;
        `converter`: version and SHA-256 of llama.cpp's converter.

    Raises:
        InputError: an architecture, a setting or a tokenizer that llama.cpp does not carry, weights
            that float16 cannot hold, or llama.cpp refuses to quantise.
        MissingPackageError: the converter is not there.
    """
    final = out / MODEL_FILE
    if quantisation == "f16":
        gguf_float16.write(checkpoint, final, passing=False)
    else:
        plain = out / "f16.gguf"
        gguf_float16.write(checkpoint, plain, passing=True)
        _quantise(plain, final, quantisation)
        plain.unlink()
    return {
        "tensor_types": tensor_types(final),
        "token_embedding_type": embedding_type(final),
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


def _quantise(source: Path, target: Path, quantisation: str) -> None:
    import llama_cpp

    from potstill.runtime.llama_library import take_errors

    types = {
        "bf16": llama_cpp.LLAMA_FTYPE_MOSTLY_BF16,
        "q8_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0,
        "q4_k_m": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M,
        "q4_0": llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0,
    }
    mixture, _, head = quantisation.partition("_head_")
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = types[mixture]
    if head:  # both, for a tied head is stored as the embedding
        kind = getattr(llama_cpp, f"GGML_TYPE_{head.upper()}")
        params.token_embedding_type = params.output_tensor_type = kind
    code = llama_cpp.llama_model_quantize(
        str(source).encode(), str(target).encode(), ctypes.byref(params)
    )
    if code:
        raise InputError(f"llama.cpp cannot quantise to {quantisation}: {take_errors()}")
