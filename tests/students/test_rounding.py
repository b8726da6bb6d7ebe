"""A rounded model holds what llama.cpp's own quantiser wrote into the file, bit for bit."""

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from potstill import gguf_names
from potstill.export import gguf
from potstill.loading import load
from potstill.models import checkpoint, families
from potstill.students import rounding

from tests.tiny_models import CASES

CPU = torch.device("cpu")


@pytest.mark.parametrize("quantisation", gguf.STOCK)
@pytest.mark.parametrize("family", CASES)
def test_weights_are_those_of_the_file(family, quantisation, tiny_gguf, tiny_checkpoint):
    folder = tiny_checkpoint(family)
    config = checkpoint.read_config(folder)
    model = load.trainable(folder, CPU)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    stored = {t.name: t for t in GGUFReader(tiny_gguf(family, quantisation) / "model.gguf").tensors}
    with rounding.rounded(model, quantisation):
        for name, tensor in model.named_parameters():
            entry = stored[gguf_names.named(name)]
            want = dequantize(entry.data, entry.tensor_type).reshape(tensor.shape)
            if families.of(config).gguf_permutes and ("q_proj" in name or "k_proj" in name):
                heads = config["num_attention_heads"]
                count = heads if "q_proj" in name else families.num_key_heads(config)
                want = gguf_names.split(want, count)
            np.testing.assert_array_equal(tensor.detach().numpy(), want, err_msg=name)
    after = model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
