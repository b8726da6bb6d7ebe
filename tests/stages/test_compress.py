"""A checkpoint becomes another that is exported as any; its own files stay as they are."""

import pytest
from potstill import files
from potstill.compress import METHODS
from potstill.models import checkpoint

from stages import distill
from stages.compress import Params, main
from tests.stages.test_distill import SETTINGS as TRAINING

COMMON = {
    "checkpoint": "students/kd",
    "calibration_rows": 6,
    "batch_rows": 4,
    "threads": 2,
    "seed": 0,
}
SETTINGS = {
    "importance": {},
    "mixed": {"bytes": 10**6},
    "gptq": {"quantisation": "q4_0"},
    "oneshot": {"scheme": "gptq_w4a16", "group": 32},
    "sparse": {"share": 0.5, "way": "sparsegpt"},
}  # of each method


@pytest.fixture
def run(tiny_llama, tokens, tmp_path):
    """Return a function that compresses the tiny Llama."""

    def make(kind, name="out", source=tiny_llama, **settings):
        params = Params(**COMMON, method={"kind": kind, **SETTINGS[kind], **settings})
        out, scratch = tmp_path / name, tmp_path / f"scratch-{name}"
        scratch.mkdir()
        measures = tmp_path / f"measures-{name}"
        metrics = main(params, checkpoint=source, tokens=tokens, out=out, measures_out=measures,
                       scratch=scratch)  # fmt: skip
        return metrics, out, measures

    return make


def untrained(folder, tokens, tmp_path):
    """Return what the stage `distill` says of a student that is trained for no step."""
    changes = {"steps": 0, "alpha": 1.0, "signal": "tokens"}
    metrics = distill.main(
        distill.Params(**(TRAINING | changes)), student=folder, tokens=tokens, signal=tokens,
        out=tmp_path / "plain", measures_out=tmp_path / "plain-measures",
        scratch=tmp_path / "plain-s",
    )  # fmt: skip
    return metrics, tmp_path / "plain-measures"


def test_every_method_has_settings_here():
    assert set(SETTINGS) == set(METHODS)


@pytest.mark.parametrize("kind", SETTINGS)
def test_the_same_rows_make_the_same_bytes(kind, run, tiny_llama):
    before = files.sha256_tree(tiny_llama)
    metrics, out, measures = run(kind)
    again, other, measured = run(kind, "again")
    assert metrics == again
    assert metrics["method"] == kind
    assert metrics["start"] == "students/kd"
    assert metrics["num_parameters"] == checkpoint.count_parameters(out)
    assert files.sha256_tree(out) == files.sha256_tree(other)
    assert files.sha256_tree(measures) == files.sha256_tree(measured)
    assert files.sha256_tree(out) != before
    assert files.sha256_tree(tiny_llama) == before


def test_what_is_measured_is_what_distill_measures(run, tiny_llama, tokens, tmp_path):
    """Weights that stay as they are: a student of them that is trained for no step."""
    metrics, _, measures = run("importance")
    made, files_made = untrained(tiny_llama, tokens, tmp_path)
    same = {name for name in made if name.startswith(("test_", "validation_"))}
    assert {name: metrics[name] for name in same} == {name: made[name] for name in same}
    assert files.sha256_tree(measures) == files.sha256_tree(files_made)
    assert set(metrics) >= {"start", "signals", "seed", "steps", "num_tokens", "num_parameters"}


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_model_with_another_tokenizer_reads_the_rows_in_its_own_ids(kind, run, tiny_checkpoint):
    metrics, *_ = run(kind, source=tiny_checkpoint("qwen2"))
    assert metrics["test_rows"] == 6
