"""An honest artefact passes, one of another checkpoint fails, a missing runtime is not run."""

import pytest
from potstill.errors import MissingPackageError
from potstill.export import artifact
from potstill.models import checkpoint

from stages import check_parity

SETTINGS = {
    "texts": 3,
    "greedy_prompts": 2,
    "greedy_tokens": 4,
    "max_length": 64,
    "margin_logits": 0.05,
    "min_agreement": 0.95,
    "max_kl_nats": 0.02,
    "max_nll_difference_nats": 0.02,
    "context": 256,
    "threads": 1,
}


@pytest.fixture(params=[("gguf", "f16"), ("onnx", "fp32")])
def artefact(request, tiny_llama, tmp_path):
    form, quantisation = request.param
    artifact.build(tiny_llama, tmp_path / "a", format=form, quantisation=quantisation)
    return tmp_path / "a"


def verdict(artefact, folder, dataset):
    params = check_parity.Params(**SETTINGS)
    return check_parity.main(params, artefact=artefact, checkpoint=folder, dataset=dataset)


def test_the_artefact_of_the_checkpoint_passes(artefact, tiny_llama, dataset):
    metrics = verdict(artefact, tiny_llama, dataset)
    assert (metrics["verdict"], metrics["reason"]) == ("pass", "")
    assert verdict(artefact, tiny_llama, dataset) == metrics


def test_the_artefact_of_another_checkpoint_fails(artefact, tiny_llama, dataset, tmp_path):
    state = checkpoint.read_state(tiny_llama)
    state["model.layers.0.mlp.up_proj.weight"] *= -1
    checkpoint.write(tmp_path / "c", state, checkpoint.read_config(tiny_llama), beside=tiny_llama)
    metrics = verdict(artefact, tmp_path / "c", dataset)
    assert metrics["verdict"] == "fail"
    assert metrics["reason"]


def test_a_runtime_that_is_missing_is_not_run(artefact, tiny_llama, dataset, monkeypatch):
    def missing(*_, **__):
        raise MissingPackageError("format x needs the package y, which is not installed")

    monkeypatch.setattr(check_parity.runtime, "load", missing)
    metrics = verdict(artefact, tiny_llama, dataset)
    assert metrics["verdict"] == "not-run"
    assert "package y" in metrics["reason"]
