"""The stage measures a real artefact in a fresh process."""

from potstill.export import artifact

from stages.measure_latency import Params, main


def test_figures_of_a_tiny_artefact(tiny_llama, tmp_path):
    artifact.build(tiny_llama, tmp_path / "a", format="gguf", quantisation="q8_0")
    params = Params(prompt_tokens=8, tokens=4, repeats=1, threads=1, timeout_s=120.0)
    metrics = main(params, artefact=tmp_path / "a")
    assert metrics["n"] == 1
    assert metrics["tokens_per_s_p50"] > 0
    assert metrics["size_bytes"] < 1_000_000
