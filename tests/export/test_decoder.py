"""The plain decoder computes what transformers computes, step by step and with padding."""

import json
import shutil

import pytest
import torch
from potstill.errors import InputError
from potstill.export import decoder
from potstill.loading import load
from potstill.models import checkpoint

from tests.tiny_models import CASES

IDS = [3, 77, 12, 401, 9, 9, 250, 31, 8]


@pytest.fixture(params=list(CASES))
def folder(request, tiny_checkpoint):
    return tiny_checkpoint(request.param)


def logits(model, ids):
    with torch.inference_mode():
        return model(*decoder.greedy_inputs(model, ids))[0][0]


def test_logits_equal_transformers(folder):
    reference = load.causal_lm(folder, torch.float32, torch.device("cpu"))
    with torch.inference_mode():
        want = reference(torch.tensor([IDS])).logits[0]
    assert torch.allclose(logits(decoder.load(folder), IDS), want, atol=1e-4)


def test_a_later_token_changes_no_earlier_logits(folder):
    model = decoder.load(folder)
    changed = [*IDS[:-1], 100]
    assert torch.equal(logits(model, IDS)[:-1], logits(model, changed)[:-1])


def test_steps_with_the_cache_equal_one_pass(folder):
    model = decoder.load(folder)
    whole, cache, rows = logits(model, IDS), model.empty_cache(1), []
    with torch.inference_mode():
        for place, token in enumerate(IDS):
            mask = torch.ones(1, place + 1, dtype=torch.int64)
            out, *cache = model(torch.tensor([[token]]), mask, *cache)
            rows.append(out[0, 0])
    assert torch.allclose(torch.stack(rows), whole, atol=1e-4)


def test_padding_on_the_left_changes_nothing(folder):
    model = decoder.load(folder)
    ids = torch.tensor([[0, 0, *IDS[:5]], IDS[:7]])
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1], [1] * 7])
    with torch.inference_mode():
        both = model(ids, mask, *model.empty_cache(2))[0]
    assert torch.allclose(both[0, 2:], logits(model, IDS[:5]), atol=1e-4)
    assert torch.allclose(both[1], logits(model, IDS[:7]), atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "mixtral"}, "supported: llama, mistral, qwen2, qwen3"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope_type is 'yarn'"),
        ({"num_hidden_layers": 3}, "missing"),
        ({"num_hidden_layers": 1}, "unknown or of another shape"),
        ({"vocab_size": 510}, "another shape"),
    ],
)
def test_what_is_not_supported_is_refused(tiny_llama, tmp_path, change, message):
    copy = shutil.copytree(tiny_llama, tmp_path / "c")
    config = json.loads((copy / "config.json").read_text()) | change
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=message):
        decoder.load(copy)


def test_the_scaling_of_positions_counts(tiny_checkpoint, tmp_path):
    """Otherwise the comparison with transformers on short texts could not see it."""
    copy = shutil.copytree(tiny_checkpoint("llama3"), tmp_path / "c")
    config = checkpoint.read_config(copy)
    config["rope_parameters"] = {"rope_type": "default", "rope_theta": 50_000.0}
    (copy / "config.json").write_text(json.dumps(config))
    scaled = logits(decoder.load(tiny_checkpoint("llama3")), IDS)
    assert (scaled - logits(decoder.load(copy), IDS)).abs().max() > 1e-2


def test_a_tied_head_that_is_stored_too_is_not_read(tiny_llama, tmp_path):
    state, config = checkpoint.read_state(tiny_llama), checkpoint.read_config(tiny_llama)
    state["lm_head.weight"] = torch.zeros_like(state["model.embed_tokens.weight"])
    checkpoint.write(tmp_path / "c", state, config, beside=tiny_llama)
    got = logits(decoder.load(tmp_path / "c"), IDS)
    assert torch.equal(got, logits(decoder.load(tiny_llama), IDS))
