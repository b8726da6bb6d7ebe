"""Latency: real figures from a fresh process; a broken artefact is one clear line."""

import pytest
from potstill.errors import InputError
from potstill.export import build
from potstill.proving import latency

HOW = latency.Settings(prompt_tokens=8, tokens=5, repeats=2, threads=1, timeout_s=120.0)


@pytest.fixture(scope="module")
def artefact(tiny_llama, tmp_path_factory):
    out = tmp_path_factory.mktemp("artefacts") / "q8"
    build.build(tiny_llama, out, format="gguf", quantisation="q8_0")
    return out


def test_every_figure_is_there_and_plausible(artefact):
    metrics = latency.measure(artefact, HOW)
    model = sum(p.stat().st_size for p in artefact.glob("*.gguf"))
    assert metrics["size_bytes"] == model
    assert metrics["n"] == 2
    assert 0 < metrics["ttft_ms_p50"] <= metrics["ttft_ms_p95"]
    assert metrics["tokens_per_s_p50"] > 1
    assert 0 < metrics["baseline_rss_mb"] <= metrics["peak_rss_mb"] < 2000
    assert metrics["cpu"]


def test_a_damaged_artefact_is_named(artefact, tmp_path):
    import shutil

    copy = shutil.copytree(artefact, tmp_path / "c")
    (path,) = copy.glob("*.gguf")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=path.name):
        latency.measure(copy, HOW)


def test_the_time_limit_is_kept(artefact):
    with pytest.raises(InputError, match="timeout_s"):
        latency.measure(artefact, HOW.model_copy(update={"timeout_s": 0.05}))
