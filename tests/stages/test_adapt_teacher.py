"""The teacher learns the domain from labels, and keeps its weights where it has no steps."""

import csv

import torch
from potstill.distill.recipe import Training
from potstill.models import checkpoint
from potstill.vocabulary import trimming

from stages import adapt_teacher
from tests.stages.conftest import tokens_of
from tests.stages.test_distill import SETTINGS


def whole(teacher, out):
    trimming.choose(teacher, [], 0, out)
    return out


def adapt(teacher, dataset, tmp_path, name, **changes):
    settings = {k: v for k, v in SETTINGS.items() if k in Training.model_fields} | changes
    vocabulary = whole(teacher, tmp_path / f"vocabulary-{name}")
    metrics = adapt_teacher.main(
        adapt_teacher.Params(**settings),
        teacher=teacher,
        vocabulary=vocabulary,
        tokens=tokens_of(dataset, vocabulary, tmp_path / f"tokens-{name}"),
        out=tmp_path / name,
        measures_out=tmp_path / f"measures-{name}",
        scratch=tmp_path / f"scratch-{name}",
    )
    with (tmp_path / f"measures-{name}/history.csv").open() as file:
        return metrics, list(csv.DictReader(file))


def test_labels_lower_the_teachers_loss_on_rows_it_has_not_seen(tiny_llama, dataset, tmp_path):
    before, none = adapt(tiny_llama, dataset, tmp_path, "before", steps=0)
    after, history = adapt(tiny_llama, dataset, tmp_path, "after")
    assert none == []
    assert len(history) == SETTINGS["steps"]
    for key in ("validation_nll_nats", "test_nll_nats"):
        assert after[key] < before[key]
    assert all(float(row["divergence"]) == 0 for row in history)


def test_without_steps_the_teacher_is_as_it_was(tiny_llama, dataset, tmp_path):
    adapt(tiny_llama, dataset, tmp_path, "same", steps=0)
    before, after = checkpoint.read_state(tiny_llama), checkpoint.read_state(tmp_path / "same")
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())


def test_the_vocabulary_is_cut_before_the_training(tiny_llama, dataset, tmp_path):
    trimming.choose(tiny_llama, ["def f(x):\n    return x"] * 9, 320, tmp_path / "small")
    settings = {k: v for k, v in SETTINGS.items() if k in Training.model_fields}
    adapt_teacher.main(
        adapt_teacher.Params(**settings),
        teacher=tiny_llama,
        vocabulary=tmp_path / "small",
        tokens=tokens_of(dataset, tmp_path / "small", tmp_path / "tokens"),
        out=tmp_path / "out",
        measures_out=tmp_path / "measures",
        scratch=tmp_path / "scratch",
    )
    assert checkpoint.read_config(tmp_path / "out")["vocab_size"] <= 320
    assert checkpoint.shapes(tmp_path / "out")["model.embed_tokens.weight"][0] <= 320
    assert not (tmp_path / "scratch/tokens").exists()  # the rows are in its ids already
