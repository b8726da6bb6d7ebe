"""Hugging Face checkpoint -> ONNX with the key and value cache as inputs and outputs.

Inputs: input_ids [batch, sequence], attention_mask [batch, past + sequence], and for each layer
past_key_values.N.key/.value [batch, key heads, past, head width]. Outputs: logits and present.N.*.

The tied embedding is stored once: the graph reads its columns for the embedding and multiplies by
it for the logits. In `int8`, weights of matrix products are 8-bit integers with one scale for each
32 of a row, activations are quantised at run time in the same blocks, and the embedding is read
from the head's 8-bit matrix. Blocks, because one scale for a whole tensor of activations
(`quantize_dynamic`) is set by SmolLM2's few outliers: see docs/facts.md. In `int8_channel` all
blocks of a row have the row's scale (`potstill.int8`), which is what `training.qat` trains for; the
rest is as in `int8`, the file's size too.

Source of the scheme: onnxruntime.quantization.matmul_nbits_quantizer (operator MatMulNBits).
"""

import logging
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from potstill import int8
from potstill.export import decoder

QUANTISATIONS = ("fp32", "int8", "int8_channel")
CACHES = ()  # the graph has keys and values as inputs, in float32
MODEL_FILE = "model.onnx"
OPSET = 18
BLOCK = 32
ZERO = 128  # the code of 0 in MatMulNBits, where nothing else is stated
INT8_ACTIVATIONS = 4  # MatMulNBits' accuracy_level: integer products on machines without fp16


def export(checkpoint: Path, out: Path, *, quantisation: str) -> None:
    """Write model.onnx into the existing folder `out`.

    Raises:
        InputError: the checkpoint is of a family that the plain decoder does not cover.
    """
    if quantisation == "fp32":
        _trace(checkpoint, out / MODEL_FILE)
    else:
        with tempfile.TemporaryDirectory() as folder:
            whole = Path(folder) / MODEL_FILE
            _trace(checkpoint, whole)
            _quantise(whole, out / MODEL_FILE, by_channel=quantisation == "int8_channel")
    onnx.checker.check_model(str(out / MODEL_FILE))


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


def _quantise(whole: Path, path: Path, *, by_channel: bool) -> None:
    from onnxruntime.quantization.matmul_nbits_quantizer import (
        DefaultWeightOnlyQuantConfig,
        MatMulNBitsQuantizer,
    )

    config = DefaultWeightOnlyQuantConfig(
        block_size=BLOCK, is_symmetric=True, accuracy_level=INT8_ACTIVATIONS, bits=8
    )
    logging.getLogger("onnxruntime.quantization").setLevel(logging.WARNING)  # a line a node
    quantiser = MatMulNBitsQuantizer(onnx.load(str(whole)), algo_config=config)
    floats = {tensor.name: tensor for tensor in quantiser.model.model.graph.initializer}
    quantiser.process()
    model = quantiser.model.model
    if by_channel:
        _one_scale_a_channel(model.graph, floats)
    _share_embedding(model.graph)
    onnx.save(model, str(path))


def _one_scale_a_channel(graph: onnx.GraphProto, floats: Mapping[str, onnx.TensorProto]) -> None:
    """Put the integers and scales of `potstill.int8` into the blocks of each 8-bit matrix.

    The matrices are [I, O] as floats; their blocks are [O, I / 32, 32], counted from ZERO, and the
    last of a row is padded with it.
    """
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for name, tensor in floats.items():
        if f"{name}_Q8" not in stored:
            continue
        weight_IO = torch.from_numpy(numpy_helper.to_array(tensor).copy())
        integer_OI, scale_O = int8.integers(weight_IO.T.contiguous())
        blocks, scales = stored[f"{name}_Q8"], stored[f"{name}_scales"]
        outputs, num_blocks, _ = blocks.dims
        codes_OX = np.full((outputs, num_blocks * BLOCK), ZERO, np.uint8)
        codes_OX[:, : integer_OI.shape[1]] = integer_OI.numpy().astype(np.int16) + ZERO
        spread_OB = np.repeat(scale_O.numpy()[:, None], num_blocks, axis=1)
        for old, new in ((blocks, codes_OX), (scales, spread_OB)):
            old.CopyFrom(numpy_helper.from_array(new.reshape(tuple(old.dims)), old.name))


def _share_embedding(graph: onnx.GraphProto) -> None:
    """Read the embedding from the head's 8-bit matrix and drop the float one.

    The head's blocks are [V, D / 32, 32] with one scale each; a row of them is an embedding, and
    the graph looks up a flat list of ids and expects [D, ids]. An
    untied embedding has no 8-bit twin and stays as it is.
    """
    stored = {tensor.name: tensor for tensor in graph.initializer}
    place, gather = next(
        (place, node)
        for place, node in enumerate(graph.node)
        if node.op_type == "Gather" and len(stored.get(node.input[0], _NONE).dims) == 2
    )
    name = gather.input[0]
    matrix, scale = f"{name}_Q8", f"{name}_scales"
    if matrix not in stored or scale not in stored:
        return
    ids, width = gather.input[1], stored[name].dims[0]
    constants = {
        "embedding_middle": np.array(ZERO, np.float32),
        "embedding_last": np.array([-1], np.int64),
        "embedding_flat": np.array([0, -1], np.int64),
        "embedding_start": np.array([0], np.int64),
        "embedding_end": np.array([width], np.int64),  # a last block may be padded
    }
    nodes = [
        helper.make_node("Gather", [matrix, ids], ["embedding_q"], axis=0),
        helper.make_node("Gather", [scale, ids], ["embedding_s"], axis=0),
        helper.make_node("Cast", ["embedding_q"], ["embedding_f"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["embedding_f", "embedding_middle"], ["embedding_c"]),
        helper.make_node("Unsqueeze", ["embedding_s", "embedding_last"], ["embedding_su"]),
        helper.make_node("Mul", ["embedding_c", "embedding_su"], ["embedding_b"]),
        helper.make_node("Reshape", ["embedding_b", "embedding_flat"], ["embedding_w"]),
        helper.make_node(
            "Slice",
            ["embedding_w", "embedding_start", "embedding_end", "embedding_last"],
            ["embedding_d"],
        ),
        helper.make_node("Transpose", ["embedding_d"], list(gather.output), perm=[1, 0]),
    ]
    del graph.node[place]
    for offset, node in enumerate(nodes):
        node.name = f"shared_embedding_{offset}"
        graph.node.insert(place + offset, node)
    kept = [tensor for tensor in graph.initializer if tensor.name != name]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())


_NONE = TensorProto()
