"""Phases: rows and a rate of their own in one history, resumed across the border."""

import copy
from dataclasses import replace

import pytest
import torch
from potstill.distill import checkpoints, training
from potstill.errors import InputError
from pydantic import ValidationError

from tests.distill.runs import ROWS, KilledError, dies, run, schedule

MIXED = [replace(row, origin=("mined", "teacher")[n % 2]) for n, row in enumerate(ROWS)]
FUNCTIONS = {"steps": 3, "rows": {"origin": ["mined"]}, "learning_rate": 4e-3, "warmup_steps": 1}
TASKS = {"steps": 3, "rows": {"origin": ["teacher", "reference"]}, "learning_rate": 1e-3}


def two(**changes):
    return schedule(**{"phases": [FUNCTIONS, TASKS], "batch_rows": 2} | changes)


@pytest.fixture
def origins(monkeypatch):
    """Origins of the rows of each step, as they are asked for."""
    seen, plain = [], training._step

    def watched(model, optimiser, rows, *others):
        seen.append({row.origin for row in rows})
        return plain(model, optimiser, rows, *others)

    monkeypatch.setattr(training, "_step", watched)
    return seen


def test_each_phase_takes_its_rows_at_its_rate_in_one_history(model, tmp_path, origins):
    history, _ = run(model, two(), tmp_path, MIXED)
    assert origins == [{"mined"}] * 3 + [{"teacher"}] * 3
    assert [row["step"] for row in history] == [1, 2, 3, 4, 5, 6]
    # warm-up of 1, then of the shared 2; a cosine to a tenth in each
    rates = [row["lr"] for row in history]
    assert rates == pytest.approx([4e-3, 4e-3, 2.2e-3, 0.5e-3, 1e-3, 1e-3])
    tokens = [row["tokens"] for row in history]
    assert tokens == sorted(tokens)


def test_a_phase_takes_the_answers_of_the_teachers_it_names_and_what_none_wrote(
    model, tmp_path, monkeypatch
):
    rows = [replace(row, teacher=("", "large", "small")[n % 3]) for n, row in enumerate(ROWS)]
    seen, plain = set(), training._step

    def watched(model, optimiser, rows, *others):
        seen.update(row.teacher for row in rows)
        return plain(model, optimiser, rows, *others)

    monkeypatch.setattr(training, "_step", watched)
    run(model, schedule(phases=[{"steps": 6, "rows": {"teacher": ["small"]}}]), tmp_path, rows)
    assert seen == {"", "small"}


@pytest.mark.parametrize("stop_at", [2, 3, 4, 5])
def test_a_killed_run_goes_on_to_the_same_bytes_across_the_border(model, tmp_path, stop_at):
    """Killed before the border, at it and after it; checkpoints after steps 2 and 4."""
    plan = two(evaluate_every=1)
    other, fresh = copy.deepcopy(model), copy.deepcopy(model)
    whole_history, whole = run(model, plan, tmp_path / "whole", MIXED)
    with pytest.raises(KilledError):
        run(other, plan, tmp_path / "cut", MIXED, evaluate=dies(stop_at))
    assert bool(checkpoints.newest(tmp_path / "cut")) == (stop_at > 2)
    history, weights = run(fresh, plan, tmp_path / "cut", MIXED)
    assert history == whole_history
    assert all(torch.equal(weights[name], whole[name]) for name in whole)


def test_one_phase_that_states_nothing_is_the_training_without_phases(model, tmp_path):
    other = copy.deepcopy(model)
    plain_history, plain = run(model, schedule(), tmp_path / "a")
    history, weights = run(other, schedule(phases=[{"steps": 6}]), tmp_path / "b")
    assert history == plain_history
    assert all(torch.equal(weights[name], plain[name]) for name in plain)


def test_phases_on_the_same_rows_go_on_in_their_epochs(model, tmp_path, monkeypatch):
    """Six steps of two of twelve rows are one epoch: no row comes twice, whatever the border."""
    seen, plain = [], training._step

    def watched(model, optimiser, rows, *others):
        seen.extend(row.key for row in rows)
        return plain(model, optimiser, rows, *others)

    monkeypatch.setattr(training, "_step", watched)
    run(model, schedule(batch_rows=2, phases=[{"steps": 2}, {"steps": 4}]), tmp_path)
    assert len(seen) == len(set(seen)) == 12


def test_a_phase_without_rows_is_an_error(model, tmp_path):
    with pytest.raises(InputError, match=r"none of 12 rows has .*'plan'.*they have"):
        run(model, two(phases=[FUNCTIONS, TASKS | {"rows": {"format": ["plan"]}}]), tmp_path, MIXED)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"steps": 7}, "steps is 7, those of the phases are 6 together"),
        ({"patience": 1, "evaluate_every": 1}, "leave one of the two out"),
        ({"phases": []}, "at least 1"),
        ({"phases": [{"steps": 0}]}, "greater than or equal to 1"),
        ({"phases": [{"steps": 6, "rows": {"source": ["mined"]}}]}, "Extra inputs"),
        ({"phases": [{"steps": 6, "rows": {"origin": ["human"]}}]}, "'mined', 'reference', 'slip'"),
        ({"phases": [{"steps": 6, "rows": {"format": ["chat"]}}]}, "'code', 'complete', 'plan'"),
        ({"phases": [{"steps": 6, "rows": {"format": []}}]}, "at least 1"),
    ],
)
def test_phases_that_do_not_fit_are_refused(changes, named):
    with pytest.raises(ValidationError, match=named):
        two(**changes)


def test_a_student_of_no_steps_may_share_them():
    assert two(steps=0).phases
