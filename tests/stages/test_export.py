"""One checkpoint, every format: an artefact that its runtime opens, the same bytes twice."""

import pytest
from potstill import files, runtime
from potstill.errors import InputError
from potstill.export import FORMATS

from stages.export import Params, main

VARIANTS = [(name, q) for name in FORMATS for q in FORMATS[name].QUANTISATIONS]


@pytest.mark.parametrize(("form", "quantisation"), VARIANTS)
def test_every_variant_is_written_and_runs(tiny_llama, tmp_path, form, quantisation):
    params = Params(checkpoint="tiny", format=form, quantisation=quantisation)
    metrics = main(params, checkpoint=tiny_llama, out=tmp_path / "a")
    assert metrics["bytes"] == sum(
        p.stat().st_size for p in files.files_below(tmp_path / "a") if p.name != "artifact.json"
    )
    assert main(params, checkpoint=tiny_llama, out=tmp_path / "b") == metrics
    assert files.sha256_tree(tmp_path / "a") == files.sha256_tree(tmp_path / "b")
    model = runtime.load(tmp_path / "a", threads=1, context=64)
    assert model.logits([1, 2, 3]).shape == (3, 509)
    model.close()


@pytest.mark.parametrize(
    ("form", "quantisation", "message"),
    [("ggfu", "f16", "did you mean gguf"), ("gguf", "q8", "did you mean q8_0")],
)
def test_unknown_names_are_refused(tiny_llama, tmp_path, form, quantisation, message):
    with pytest.raises(InputError, match=message):
        main(
            Params(checkpoint="t", format=form, quantisation=quantisation),
            checkpoint=tiny_llama,
            out=tmp_path / "a",
        )
