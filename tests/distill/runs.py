"""Short trainings that several tests share: on labels, on a teacher's layers, on pairs."""

import shutil
from dataclasses import replace

import torch
from potstill.distill import training
from potstill.distill.objective import Objective
from potstill.distill.recipe import Recipe
from potstill.distill.training import Loss
from potstill.loading import load
from potstill.logits import caching, live
from potstill.logits.store import LIVE
from potstill.models import checkpoint
from potstill.tokens.examples import Example

LABELS = Loss(Objective("cross_entropy", chunk_tokens=16))


def example(ids, start, group):
    return Example(tuple(ids), ((start, len(ids), 1.0),), group)


ROWS = [example(tuple((7 * i + j) % 300 for j in range(6 + i % 5)), 2, "g") for i in range(12)]


def pairs_of(number):
    """Return an answer that is chosen and one that is rejected, to one prompt, of other lengths."""
    prompt = [20 + number, 30, 31 + number % 3]
    texts = {"chosen": [40 + number, 50, 51], "rejected": [60 + number] * (1 + 2 * number % 5)}
    made = {name: example(prompt + text, len(prompt), "g") for name, text in texts.items()}
    return [replace(row, format=name) for name, row in made.items()]


PAIRS = [row for number in range(8) for row in pairs_of(number)]
WIDE = {"hidden_size": 96, "num_hidden_layers": 4}  # of a teacher


def live_signal(start, folder, **sizes):
    """Return a live signal of a teacher that has a start's tokenizer and sizes of its own."""
    teacher = shutil.copytree(start, folder / "teacher", dirs_exist_ok=True)
    torch.manual_seed(4)
    load.from_config(checkpoint.read_config(teacher) | sizes).save_pretrained(teacher)
    shutil.rmtree(folder / "live", ignore_errors=True)
    live.write(folder / "live", caching.describe(teacher, codec=LIVE, k=0, seed=0))
    return folder / "live"


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
