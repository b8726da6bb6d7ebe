"""One checkpoint, every format: an artefact that its runtime opens, compared and timed."""

import pytest
from potstill import files, runtime
from potstill.errors import InputError, MissingPackageError
from potstill.export import FORMATS
from potstill.loading.load import ReferenceModel
from potstill.models import checkpoint
from potstill.proving import reference

from stages import export
from tests.stages.conftest import chat

VARIANTS = [(name, q) for name in FORMATS for q in FORMATS[name].QUANTISATIONS
            if q != "stated"]  # fmt: skip
COMMON = {
    "parity": {
        "margin_logits": 0.05,
        "min_agreement": 0.95,
        "max_kl_nats": 0.02,
        "max_nll_difference_nats": 0.02,
        "context": 256,
        "threads": 1,
    },
    "latency": {"prompt_tokens": 8, "tokens": 4, "repeats": 1, "threads": 1, "timeout_s": 120.0},
}


def record(folder, path):
    """Write the record of a checkpoint; return its path."""
    settings = reference.Settings(
        texts=3, max_length=64, greedy_prompts=2, greedy_tokens=4, threads=1
    )
    chats = [chat(n)["messages"] for n in range(20, 23)]
    reference.record(ReferenceModel(folder, 1), folder, chats, path, settings)
    return path


@pytest.fixture(scope="module")
def recorded(tiny_llama, tmp_path_factory):
    """Return the record of the tiny checkpoint."""
    return record(tiny_llama, tmp_path_factory.mktemp("recorded") / "tiny.safetensors")


def run(folder, recorded, out, form, quantisation):
    chosen = {"checkpoint": "t", "format": form, "quantisation": quantisation, "tasks": {}}
    params = export.Params.model_validate(COMMON | chosen)
    return export.main(params, checkpoint=folder, reference=recorded, out=out)


@pytest.mark.parametrize(("form", "quantisation"), VARIANTS)
def test_every_variant_is_written_runs_and_is_measured(
    tiny_llama, recorded, tmp_path, form, quantisation
):
    metrics = run(tiny_llama, recorded, tmp_path / "a", form, quantisation)
    assert metrics["bytes"] == sum(
        p.stat().st_size for p in files.files_below(tmp_path / "a") if p.name != "artifact.json"
    )
    latency = metrics.pop("latency")
    assert latency["n"] == 1
    assert latency["tokens_per_s_p50"] > 0
    assert latency["size_bytes"] < 1_000_000
    again = run(tiny_llama, recorded, tmp_path / "b", form, quantisation)
    assert again | {"latency": None} == metrics | {"latency": None}
    assert files.sha256_tree(tmp_path / "a") == files.sha256_tree(tmp_path / "b")
    model = runtime.load(tmp_path / "a", threads=1, context=64)
    assert model.logits([1, 2, 3]).shape == (3, 509)
    model.close()
    if quantisation in {"f16", "fp32", "q8_0"}:
        assert (metrics["parity"]["verdict"], metrics["parity"]["reason"]) == ("pass", "")


@pytest.mark.parametrize("scheme", ["gptq_w4a16", "smoothquant_w8a8"])
def test_what_was_packed_is_compared_with_its_checkpoint_and_timed(scheme, tiny_packed, tmp_path):
    folder = tiny_packed("llama", scheme)
    known = record(folder, tmp_path / "r.safetensors")
    metrics = run(folder, known, tmp_path / "a", "compressed_tensors", "stated")
    assert (metrics["parity"]["verdict"], metrics["parity"]["reason"]) == ("pass", "")
    assert (metrics["parity"]["kl_mean_nats"] < 1e-6) == (scheme == "gptq_w4a16")  # inputs stay
    assert metrics["latency"]["n"] == 1


@pytest.mark.parametrize(("form", "quantisation"), [("gguf", "f16"), ("onnx", "fp32")])
def test_an_exporter_that_writes_other_weights_fails(
    tiny_llama, recorded, tmp_path, monkeypatch, form, quantisation
):
    state = checkpoint.read_state(tiny_llama)
    state["model.layers.0.mlp.up_proj.weight"] *= -1
    checkpoint.write(tmp_path / "c", state, checkpoint.read_config(tiny_llama), beside=tiny_llama)
    honest = export.build.build

    def another(folder, out, **how):
        made = honest(tmp_path / "c", out, **how)
        made["checkpoint_sha256"] = files.sha256_tree(folder)
        files.write_json(out / "artifact.json", made)
        return made

    monkeypatch.setattr(export.build, "build", another)
    parity = run(tiny_llama, recorded, tmp_path / "a", form, quantisation)["parity"]
    assert parity["verdict"] == "fail"
    assert parity["reason"]


def test_a_runtime_that_is_missing_is_not_run(tiny_llama, recorded, tmp_path, monkeypatch):
    def missing(*_, **__):
        raise MissingPackageError("format x needs the package y, which is not installed")

    monkeypatch.setattr(export.parity.runtimes, "load", missing)
    metrics = run(tiny_llama, recorded, tmp_path / "a", "gguf", "f16")
    assert metrics["parity"]["verdict"] == "not-run"
    assert "package y" in metrics["parity"]["reason"]
    assert metrics["latency"]["n"] == 0
    assert (tmp_path / "a/artifact.json").exists()


@pytest.mark.parametrize(
    ("form", "quantisation", "message"),
    [
        ("ggfu", "f16", "did you mean gguf"),
        ("gguf", "q8", "did you mean q8_0"),
        ("onnx", "fp32_cache_q8_0", "take fp32"),
    ],
)
def test_unknown_names_are_refused(tiny_llama, recorded, tmp_path, form, quantisation, message):
    with pytest.raises(InputError, match=message):
        run(tiny_llama, recorded, tmp_path / "a", form, quantisation)


def test_a_cache_that_heads_of_16_do_not_fit_stops_the_export(tiny_llama, recorded, tmp_path):
    with pytest.raises(InputError, match="not whole blocks of 32, as a cache in q4_0 takes them"):
        run(tiny_llama, recorded, tmp_path / "a", "gguf", "f16_cache_q4_0")
