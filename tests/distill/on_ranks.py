"""What tests let ranks do: functions of a module, since they are pickled."""

import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from potstill.distill import adapters, checkpoints, ranks, sharding, student, training
from potstill.errors import InputError
from potstill.loading import device, load
from torch import distributed

from tests.distill.runs import LABELS, PAIRS, ROWS, schedule

CPU = torch.device("cpu")


def begin(folder, plan):
    """Return a model as a training begins with it; the same on every rank."""
    device.make_deterministic(0, 1)
    model = load.causal_lm(folder, torch.float32, CPU)
    if plan.adapter:
        names = adapters.targets(plan.adapter, folder)
        adapters.attach(model, plan.adapter, names, folder)
    return model


def task(plan, model, folder, teacher, scratch):
    """Return the loss of a plan and its rows; `teacher` is the signal whose layers it follows."""
    if not (plan.hidden or plan.preference):
        return LABELS, ROWS
    loss = student.distillation_loss(plan, folder, teacher)
    if plan.hidden:
        return loss, ROWS
    preference, rows = loss.preference.of(PAIRS)
    scratch.mkdir(parents=True, exist_ok=True)
    said = ranks.agreed(partial(preference.ask, model, rows, torch.float32, scratch))
    return replace(loss, preference=replace(preference, reference=said)), rows


def train(folder, scratch, changes, teacher=None, dies_at=None, spoilt=None):
    """Return history and trained weights of a plan; at a step rank 1 may die, or lose its loss."""
    plan = schedule(**{"evaluate_every": 1} | changes)
    model, steps = begin(folder, plan), []
    loss, rows = task(plan, model, folder, teacher, Path(scratch))

    def evaluate(_):
        steps.append(1)
        if ranks.rank() == 1 and len(steps) == dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return {"validation_nll": 1.25, "layer_cosine": 1.0}

    real = training.batch_loss

    def lost(*args):
        sums = real(*args)
        if ranks.rank() == 1 and len(steps) + 1 == spoilt:
            sums = replace(sums, loss=sums.loss * float("nan"))
        return sums

    training.batch_loss = lost
    try:
        history = training.train(
            model, rows, loss, plan, dtype=torch.float32, scratch=Path(scratch), evaluate=evaluate
        )
    finally:
        training.batch_loss = real
    loss.attach(model)  # its maps are looked at too
    weights = dict(sharding.gathered(checkpoints.trained(model)))
    # numbers of elements that this rank holds itself, of all
    held = [getattr(p, "_local_tensor", p).numel() for p in checkpoints.trained(model).values()]
    return history, {name: tensor.numpy() for name, tensor in weights.items()}, sum(held)


def several(folder, scratch, plans, teacher):
    """Return what `train` does of each plan, by its name."""
    return {name: train(folder, scratch / name, plan, teacher) for name, plan in plans.items()}


def talk(value):
    """Return what ranks agree on, a sum over them, their number, and the threads of rank 0."""
    torch.set_num_threads(1)
    made = ranks.agreed(lambda: (value, torch.get_num_threads()))
    total = sharding.summed({"a": 1.0 + ranks.rank(), "b": 2.0})
    rows = [len(row.ids) for part, counts in sharding.passes(ROWS, 20) for row in part if counts]
    lengths = [None] * ranks.count()
    distributed.all_gather_object(lengths, rows)
    passes = [None] * ranks.count()
    distributed.all_gather_object(passes, len(list(sharding.passes(ROWS[:3], 9))))
    return made, total, ranks.count(), lengths, passes, torch.get_num_threads()


def fail(how, note):
    """Let rank 1 end early while rank 0 waits for it."""
    Path(note).with_suffix(f".{ranks.rank()}").write_text(str(os.getpid()))
    distributed.barrier()
    if ranks.rank() == 1:
        if how == "refuse":
            raise InputError("got 3, allowed 1: change it")
        if how == "bug":
            raise ZeroDivisionError("a bug")
        if how == "exit":
            os._exit(7)
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
    distributed.barrier()
