"""Train one model from start to measurement: what the stages `adapt_teacher` and `distill` do."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from potstill.distill import (
    checkpoints,
    hidden,
    optimisers,
    phases,
    preference,
    qat,
    ranks,
    stopping,
    training,
)
from potstill.distill import history as histories
from potstill.distill.heldout import Heldout
from potstill.distill.objective import Objective
from potstill.distill.recipe import Recipe, Training
from potstill.distill.start import Start
from potstill.errors import InputError
from potstill.loading import device
from potstill.loading.load import CausalLM
from potstill.logits import source
from potstill.models import checkpoint
from potstill.models.chat import ChatTokenizer
from potstill.tokens import examples, table
from potstill.tokens.examples import Example

# Returns, of a start and a folder, the rows that a training asks with and what answers them
Roll = Callable[[Start, Path], tuple[Sequence[Example], training.Feed]]


def distillation_loss(recipe: Recipe, start: Path, signal: Path) -> training.Loss:
    """Return the loss of a recipe; the signal is opened, and a live teacher loaded, if it counts.

    Args:
        recipe: the student's settings.
        start: what it begins as.
        signal: folder of a signal or an ensemble; of a control that has none, anything.

    Raises:
        InputError: the signal is of another tokenizer or template, or what it is of has changed, or
            the objective cannot be computed from it, or see `hidden.match`.
    """
    objective = Objective(
        recipe.objective,
        alpha=recipe.alpha,
        temperature=recipe.temperature,
        beta=recipe.beta,
        margin=recipe.margin,
        chunk_tokens=recipe.chunk_tokens,
    )
    if recipe.preference and recipe.steps:
        pairs = preference.Preference(recipe.preference.beta, recipe.chunk_tokens)
        return training.Loss(objective, preference=pairs)
    if recipe.steps == 0 or (recipe.alpha == 1 and recipe.hidden is None):
        return training.Loss(objective)
    place = device.pick_device()
    teacher = source.open_source(signal, device.compute_dtype(recipe.precision, place), place)
    teacher.check(ChatTokenizer(start).hashes())
    if recipe.alpha != 1:
        objective.check(teacher.signal)
    matched = hidden.match(recipe.hidden, start, teacher, recipe.seed) if recipe.hidden else None
    return training.Loss(objective, teacher, matched)


def distil(recipe: Recipe, *, student: Path, signal: Path, **paths: Path) -> dict[str, float | str]:
    """Train a student on the loss of its recipe; return the summary, and the names of its signals.

    Raises:
        InputError: see `distillation_loss` and `train`.
    """
    loss = distillation_loss(recipe, student, signal)
    measured = train(recipe, loss, None, start=student, **paths)
    return {"signals": ",".join(loss.source.names) if loss.source else "", **measured}


def train(
    recipe: Training,
    loss: training.Loss,
    roll: Roll | None = None,
    *,
    start: Path,
    tokens: Path,
    out: Path,
    measures_out: Path,
    scratch: Path,
) -> dict[str, float]:
    """Train a checkpoint; write it and its measures, and return their summary.

    On several ranks all have to call it; what is written and returned is rank 0's.

    Rows in another tokenizer's ids are tokenised again; the summary counts those that it rejects.
    With `roll` the training reads what the student answers, and no row of the table.

    Raises:
        InputError: no row or pair fits, none asks for code where `inside` is set, the loss has no
            signal of a row, or see `Start` and `training.train`.
    """
    device.make_deterministic(recipe.seed, max(1, recipe.threads // ranks.count()))
    begin = Start.of(start, recipe)
    chat, own = begin.chat(), scratch / "tokens" / str(ranks.rank())
    feed, rejected = None, dict[str, int]()
    rows: Sequence[Example]
    if roll is None:
        loss, rows, rejected = _rows(recipe, loss, tokens, chat, own)
    else:
        rows, feed = roll(begin, scratch)
    if loss.source:
        loss.source.require(rows)
    heldout = Heldout.read(tokens, chat, recipe.batch_rows, own, recipe.inside)
    model = begin.model()
    if loss.preference:
        asked = ranks.agreed(partial(loss.preference.ask, model, rows, begin.dtype, scratch))
        loss = replace(loss, preference=replace(loss.preference, reference=asked))
    num_trained = sum(p.numel() for p in checkpoints.trained(model).values())

    def evaluate(_: CausalLM) -> dict[str, float]:
        made = begin.exact(model)

        def look() -> dict[str, float]:
            assert made is not None  # on rank 0, which alone looks
            found = qat.watch(made, heldout.first) if recipe.qat else {}
            with qat.rounded(made, on=recipe.qat is not None):
                return heldout.look(made) | found

        found = ranks.agreed(look)
        begin.go_on(model, made)
        return found

    history = training.train(
        model, rows, loss, recipe, dtype=begin.dtype, scratch=scratch, evaluate=evaluate, feed=feed
    )
    made = begin.exact(model, recipe.interpolation)
    if made is None:  # rank 0 has it, and from here on the threads of all
        return {}
    torch.set_num_threads(recipe.threads)
    watched = qat.deliver(made, heldout.first, recipe) if recipe.qat and history else {}
    measured = heldout.write(made, measures_out)
    best = stopping.delivered(history, recipe)
    if history:
        delivered = {"validation_nll": measured["validation_nll_nats"], **heldout.watch(made)}
        history[best - 1] |= {**delivered, **watched, "delivered": 1}
    histories.write(measures_out, history)
    begin.save(made, out, np.unique(examples.folds(rows)).tolist() if recipe.steps else [])
    rates = [optimisers.peak_rate(each, num_trained) for each in phases.recipes(recipe)]
    return {
        "steps": len(history),
        "delivered_step": best,
        "num_tokens": int(history[-1]["tokens"]) if history else 0,
        "train_loss_last": round(history[-1]["loss"], 6) if history else 0.0,
        "learning_rate": max(rates) * qat.rate(recipe, 0) if history else 0.0,
        "num_trained": num_trained,
        "num_parameters": checkpoint.count_parameters(out),
        **{f"rows_rejected_{reason}": count for reason, count in rejected.items()},
        **measured,
        **watched,
    }


def _rows(
    recipe: Training, loss: training.Loss, tokens: Path, chat: ChatTokenizer, own: Path
) -> tuple[training.Loss, Sequence[Example], dict[str, int]]:
    """Return the loss with its pairs, if it is of pairs; the rows; those rejected by reason."""
    name = "pairs.arrow" if loss.preference else "train.arrow"
    if loss.preference and not (tokens / name).exists():
        raise InputError(
            "preference: the data set has no pairs of answers, of which one failed its tests: "
            "raise curate.slips, sample_teacher.max_rows or tokenise.max_length"
        )
    found, rejected = table.fit(tokens / name, chat, own / name)
    rows: Sequence[Example] = found.of_folds(recipe.folds)
    if loss.preference:
        pairs, rows = loss.preference.of(rows)
        loss = replace(loss, preference=pairs)
    return loss, rows[: recipe.max_rows], rejected
