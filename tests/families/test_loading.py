"""What is refused when a checkpoint is loaded for training and caching."""

import json
import shutil

import pytest
import torch
from potstill.errors import InputError
from potstill.loading import load
from potstill.models import checkpoint

CPU = torch.device("cpu")


def test_another_family_is_refused_by_name(tiny_llama, tmp_path):
    copy = shutil.copytree(tiny_llama, tmp_path / "c")
    config = checkpoint.read_config(copy) | {"model_type": "gemma2"}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="model_type is 'gemma2'; supported: llama, mistral"):
        load.causal_lm(copy, torch.float32, CPU)


@pytest.mark.parametrize(
    ("name", "keeps", "message"),
    [
        ("model.layers.1.mlp.up_proj.weight", False, r"missing \['model\.layers\.1\.mlp\.up_proj"),
        ("model.norm.lora_A.weight", True, r"unknown \['model\.norm\.lora_A\.weight'\]"),
    ],
)
def test_weights_of_another_model_are_not_filled_in_at_random(
    tiny_qwen2, tmp_path, name, keeps, message
):
    state, config = checkpoint.read_state(tiny_qwen2), checkpoint.read_config(tiny_qwen2)
    if keeps:
        state[name] = torch.ones(3)
    else:
        del state[name]
    checkpoint.write(tmp_path / "c", state, config, beside=tiny_qwen2)
    with pytest.raises(InputError, match=message) as caught:
        load.causal_lm(tmp_path / "c", torch.float32, CPU)
    assert "\n" not in str(caught.value)
