"""The teacher learns the domain from labels, and keeps its weights where it has no steps."""

import csv

import torch
from potstill.models import checkpoint

from stages import adapt_teacher
from tests.stages.test_distill import SETTINGS


def adapt(teacher, dataset, tmp_path, name, **changes):
    unused = ("alpha", "temperature")
    settings = {key: value for key, value in SETTINGS.items() if key not in unused} | changes
    metrics = adapt_teacher.main(
        adapt_teacher.Params(**settings),
        teacher=teacher,
        dataset=dataset,
        out=tmp_path / name,
        history_out=tmp_path / f"{name}.csv",
        heldout_out=tmp_path / f"{name}.jsonl",
        scratch=tmp_path / f"scratch-{name}",
    )
    with (tmp_path / f"{name}.csv").open() as file:
        return metrics, list(csv.DictReader(file))


def test_labels_lower_the_teachers_heldout_loss(tiny_llama, dataset, tmp_path):
    before, none = adapt(tiny_llama, dataset, tmp_path, "before", steps=0)
    after, history = adapt(tiny_llama, dataset, tmp_path, "after")
    assert none == []
    assert len(history) == SETTINGS["steps"]
    assert after["heldout_nll_nats"] < before["heldout_nll_nats"]
    assert all(float(row["kl"]) == 0 for row in history)


def test_without_steps_the_teacher_is_as_it_was(tiny_llama, dataset, tmp_path):
    adapt(tiny_llama, dataset, tmp_path, "same", steps=0)
    before, after = checkpoint.read_state(tiny_llama), checkpoint.read_state(tmp_path / "same")
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())
