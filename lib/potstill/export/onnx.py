"""Hugging Face checkpoint -> ONNX with the key and value cache as inputs and outputs.

Inputs: input_ids [batch, sequence], attention_mask [batch, past + sequence], and for each layer
past_key_values.N.key/.value [batch, key heads, past, head width]. Outputs: logits and present.N.*.

The tied embedding is stored once: the graph reads its columns for the embedding and multiplies by
it for the logits. In `int8`, weights of matrix products are unsigned 8-bit integers per column,
activations are quantised at run time per tensor, and the embedding is read from the same 8-bit
matrix. Unsigned weights, because x86 without VNNI saturates sums of unsigned x signed pairs.

Source of the scheme: onnxruntime.quantization (quantize_dynamic, "U8U8").
"""

import tempfile
import warnings
from pathlib import Path

import onnx
import torch
from onnx import TensorProto, helper

from potstill.models import decoder

QUANTISATIONS = ("fp32", "int8")
FILE = "model.onnx"
OPSET = 18


def export(checkpoint: Path, out: Path, *, quantisation: str) -> None:
    """Write model.onnx into the existing folder `out`.

    Raises:
        InputError: the checkpoint is of a family that the plain decoder does not cover.
    """
    if quantisation == "fp32":
        _trace(checkpoint, out / FILE)
    else:
        with tempfile.TemporaryDirectory() as folder:
            whole = Path(folder) / FILE
            _trace(checkpoint, whole)
            _quantise(whole, out / FILE)
    onnx.checker.check_model(str(out / FILE))


def _trace(checkpoint: Path, path: Path) -> None:
    model = decoder.load(checkpoint)
    layers = len(model.layers)
    example = _example(model)
    inputs = ["input_ids", "attention_mask", *_names("past_key_values", layers)]
    outputs = ["logits", *_names("present", layers)]
    axes = {"input_ids": {0: "batch", 1: "sequence"}, "attention_mask": {0: "batch", 1: "total"}}
    axes |= {name: {0: "batch", 2: "past"} for name in _names("past_key_values", layers)}
    axes |= {name: {0: "batch", 2: "total"} for name in _names("present", layers)}
    axes["logits"] = {0: "batch", 1: "sequence"}
    with warnings.catch_warnings(), torch.inference_mode():
        # The tracing exporter is deprecated in favour of a slower one; its graph is what we check.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            example,
            str(path),
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
            do_constant_folding=True,
        )
    graph = onnx.load(str(path))
    graph.producer_version = ""
    onnx.save(graph, str(path))


def _example(model: decoder.Decoder) -> tuple[torch.Tensor, ...]:
    """Return inputs with a cache of three tokens, so that every axis is really traced."""
    row = torch.zeros(2, 4, dtype=torch.int64)
    cache = [torch.zeros(*c.shape[:2], 3, c.shape[3]) for c in model.empty_cache(2)]
    return (row, torch.ones(2, 7, dtype=torch.int64), *cache)


def _names(prefix: str, layers: int) -> list[str]:
    return [f"{prefix}.{n}.{part}" for n in range(layers) for part in ("key", "value")]


def _quantise(whole: Path, path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        quantised = Path(folder) / FILE
        quantize_dynamic(
            str(whole),
            str(quantised),
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=QuantType.QUInt8,
            extra_options={"MatMulConstBOnly": True},
        )
        model = onnx.load(str(quantised))
    _share_embedding(model.graph)
    onnx.save(model, str(path))


def _share_embedding(graph: onnx.GraphProto) -> None:
    """Read the embedding from the head's 8-bit matrix and drop the float one.

    An untied embedding has no 8-bit twin and stays as it is.
    """
    stored = {tensor.name: tensor for tensor in graph.initializer}
    place, gather = next(
        (place, node)
        for place, node in enumerate(graph.node)
        if node.op_type == "Gather" and len(stored.get(node.input[0], _NONE).dims) == 2
    )
    name = gather.input[0]
    parts = [f"{name}_quantized", f"{name}_scale", f"{name}_zero_point"]
    if any(part not in stored for part in parts):
        return
    matrix, scale, zero = parts
    ids = gather.input[1]
    nodes = [
        helper.make_node("Gather", [matrix, ids], ["embedding_q"], axis=1),
        helper.make_node("Gather", [zero, ids], ["embedding_zero"], axis=0),
        helper.make_node("Gather", [scale, ids], ["embedding_scale"], axis=0),
        helper.make_node("Cast", ["embedding_q"], ["embedding_f"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["embedding_zero"], ["embedding_zf"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["embedding_f", "embedding_zf"], ["embedding_c"]),
        helper.make_node("Mul", ["embedding_c", "embedding_scale"], list(gather.output)),
    ]
    del graph.node[place]
    for offset, node in enumerate(nodes):
        node.name = f"shared_embedding_{offset}"
        graph.node.insert(place + offset, node)
    kept = [t for t in graph.initializer if t.name != name]
    del graph.initializer[:]
    graph.initializer.extend(kept)


_NONE = TensorProto()
