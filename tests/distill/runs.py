"""Short trainings on labels that several tests share."""

import torch
from potstill.distill import training
from potstill.distill.objective import Objective
from potstill.distill.recipe import Recipe
from potstill.distill.training import Loss
from potstill.tokens.examples import Example

LABELS = Loss(Objective("cross_entropy", chunk_tokens=16))


def example(ids, start, group):
    return Example(tuple(ids), ((start, len(ids), 1.0),), group)


ROWS = [example(tuple((7 * i + j) % 300 for j in range(6 + i % 5)), 2, "g") for i in range(12)]


def schedule(**changes):
    values = {
        "start": "pruned",
        "signal": "tokens",
        "steps": 6,
        "batch_rows": 4,
        "pass_tokens": 1024,
        "learning_rate": 3e-3,
        "warmup_steps": 2,
        "weight_decay": 0.01,
        "clip_norm": 1.0,
        "evaluate_every": 0,
        "checkpoint_every": 2,
        "alpha": 1.0,
        "temperature": 1.0,
        "max_rows": 99,
        "chunk_tokens": 16,
        "precision": "float32",
        "threads": 2,
        "seed": 5,
    }
    return Recipe(**(values | changes))


def weights_of(model):
    """Return what is trained of a model, as it is now."""
    return {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


def measures(evaluate):
    """Return an evaluation as a training takes it, of one that returns a loss."""
    return lambda model: {"validation_nll": evaluate(model)}


def run(model, plan, scratch, rows=ROWS, evaluate=lambda _: 1.25):
    history = training.train(
        model, rows, LABELS, plan, dtype=torch.float32, scratch=scratch, evaluate=measures(evaluate)
    )
    return history, weights_of(model)


class KilledError(Exception):
    """Raised where a run is stopped."""


def dies(at):
    """Return an evaluation that stops the run when it is asked for the `at`-th time."""
    calls = 0

    def evaluate(_):
        nonlocal calls
        calls += 1
        if calls == at:
            raise KilledError
        return 1.25

    return evaluate
