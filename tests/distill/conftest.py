"""A tiny model to train."""

import pytest
import torch
from potstill.loading import load


@pytest.fixture
def model(tiny_llama):
    torch.manual_seed(0)
    return load.causal_lm(tiny_llama, torch.float32, torch.device("cpu"))
