"""A rounded model holds what llama.cpp's own quantiser wrote into the file, bit for bit."""

import numpy as np
import pytest
import torch
from potstill.export import gguf
from potstill.loading import load
from potstill.models import checkpoint
from potstill.students import rounding

from tests import gguf_files
from tests.tiny_models import CASES

CPU = torch.device("cpu")


@pytest.mark.parametrize("quantisation", gguf.STOCK)
@pytest.mark.parametrize("family", CASES)
def test_weights_are_those_of_the_file(family, quantisation, tiny_gguf, tiny_checkpoint):
    folder = tiny_checkpoint(family)
    config = checkpoint.read_config(folder)
    model = load.trainable(folder, CPU)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    stored = gguf_files.stored(tiny_gguf(family, quantisation) / "model.gguf", config)
    with rounding.rounded(model, quantisation):
        for name, tensor in model.named_parameters():
            np.testing.assert_array_equal(tensor.detach().numpy(), stored[name][1], err_msg=name)
    after = model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
