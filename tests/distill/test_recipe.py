"""A student's settings: what is refused before any work, without torch."""

import subprocess
import sys

import pytest
from potstill.distill.objective import Objective
from potstill.distill.objectives import OBJECTIVES
from potstill.distill.recipe import Recipe
from pydantic import ValidationError

SHARED = {
    "steps": 1, "batch_rows": 1, "pass_tokens": 1024, "learning_rate": 1e-3, "warmup_steps": 1,
    "weight_decay": 0.0, "clip_norm": 1.0, "evaluate_every": 0, "checkpoint_every": 0,
    "max_rows": 1, "chunk_tokens": 8, "precision": "float32", "threads": 1,
    "seed": 0, "start": "pruned", "signal": "signals/adapted", "alpha": 0.5,
}  # fmt: skip


def test_what_is_not_stated_is_forward_kl_at_temperature_1_from_the_teacher_as_it_is():
    recipe = Recipe(**SHARED)
    assert (recipe.objective, recipe.temperature, recipe.margin) == ("forward_kl", 1.0, None)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_can_be_stated_and_made(name):
    recipe = Recipe(**SHARED | {"objective": name, "alpha": 1.0})
    assert Objective(recipe.objective, alpha=recipe.alpha, beta=recipe.beta).name == name


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"objective": "forward_kk"}, "did you mean forward_kl"),
        ({"objective": "cross_entropy"}, "asks no teacher: set alpha to 1"),
        ({"beta": 0.0}, "greater than 0"),
        ({"beta": 1.0}, "less than 1"),
        ({"margin": 1.0}, "less than 1"),
        ({"margin": -0.1}, "greater than or equal to 0"),
        ({"temperature": 0.0}, "greater than 0"),
        ({"hidden": {"weight": 1.0}, "signal": "ensembles/both"}, "of codec live"),
        ({"hidden": {"weight": 1.0}, "signal": "tokens", "alpha": 1.0}, "of codec live"),
        ({"hidden": {"weight": 0.0}}, "greater than 0"),
        ({"hidden": {"weight": 1.0, "pairs": [[0, 1]]}}, "greater than or equal to 1"),
        ({"hidden": {"weight": 1.0, "pairs": [[1, 2, 3]]}}, "at most 2"),
        ({"preference": {}}, "set signal to tokens and alpha to 1"),
        ({"preference": {"beta": 0.0}, "signal": "tokens", "alpha": 1.0}, "greater than 0"),
        (
            {"preference": {}, "signal": "tokens", "alpha": 1.0, "phases": [{"steps": 1}]},
            "preference reads pairs",
        ),
    ],
)
def test_settings_out_of_range_are_refused(changes, named):
    with pytest.raises(ValidationError, match=named):
        Recipe(**SHARED | changes)


def test_reading_settings_needs_no_torch():
    code = "import sys, potstill.distill.recipe; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
