"""Train one model from start to measurement: what the stages `adapt_teacher` and `distill` do."""

import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from potstill import files
from potstill.distill import (
    adapters,
    checkpoints,
    hidden,
    inside,
    likelihood,
    optimisers,
    phases,
    preference,
    ranks,
    sharding,
    stopping,
    training,
)
from potstill.distill.objective import Objective
from potstill.distill.recipe import Recipe, Training
from potstill.errors import InputError
from potstill.loading import device, load
from potstill.loading.load import CausalLM
from potstill.logits import source
from potstill.models import checkpoint
from potstill.models.chat import ChatTokenizer
from potstill.tokens import examples, folds, table
from potstill.tokens.examples import Example

HISTORY_COLUMNS = (
    *("step", "tokens", "loss", "ce", "divergence", "lr", "validation_nll"),
    "hidden",  # where layers are matched
    *("margin", "correct"),  # of pairs
    *("inside_share", "inside_n"),  # where `inside` is set
    "delivered",  # 1 at the step whose weights are saved
)


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
    measured = train(recipe, loss, start=student, **paths)
    return {"signals": ",".join(loss.source.names) if loss.source else "", **measured}


def train(
    recipe: Training,
    loss: training.Loss,
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

    Raises:
        InputError: no row or pair fits, none asks for code where `inside` is set, the loss has no
            signal of a row, the start's family lacks a matrix that an adapter shall change, or see
            `training.train`.
    """
    config = checkpoint.read_config(start)
    names = adapters.targets(recipe.adapter, config, start) if recipe.adapter else []
    device.make_deterministic(recipe.seed, max(1, recipe.threads // ranks.count()))
    place = device.pick_device()
    dtype = device.compute_dtype(recipe.precision, place)
    chat, own = ChatTokenizer(start), scratch / "tokens" / str(ranks.rank())
    loss, rows, rejected = _rows(recipe, loss, tokens, chat, own)
    others = {
        split: table.fit(tokens / f"{split}.arrow", chat, own / f"{split}.arrow")[0]
        for split in ("validation", "test")
    }
    watch = inside.watch(recipe.inside, others["validation"], chat, recipe.batch_rows)
    begin = partial(_begin, recipe, names, start, dtype, place)
    model = begin()
    if loss.preference:
        asked = ranks.agreed(partial(loss.preference.ask, model, rows, dtype, scratch))
        loss = replace(loss, preference=replace(loss.preference, reference=asked))
    num_trained = sum(p.numel() for p in checkpoints.trained(model).values())

    def measure(made: CausalLM, split: str) -> list[dict[str, Any]]:
        return likelihood.measure(made, others[split], chat, batch_rows=recipe.batch_rows)

    def exact() -> CausalLM | None:
        return _exact(model, begin, recipe, start, place)

    def evaluate(_: CausalLM) -> dict[str, float]:
        made = exact()

        def look() -> dict[str, float]:
            assert made is not None  # on rank 0, which alone looks
            loss = likelihood.nll(measure(made, "validation")).value
            return {"validation_nll": loss, **watch(made)}

        found = ranks.agreed(look)
        if recipe.adapter and made is model:  # it is trained on; of several ranks a copy is merged
            adapters.unmerge(model, start, place, dtype)
        return found

    history = training.train(
        model,
        rows,
        loss,
        recipe,
        dtype=dtype,
        scratch=scratch,
        evaluate=evaluate,
    )
    made = exact()
    if made is None:  # rank 0 has it, and from here on the threads of all
        return {}
    torch.set_num_threads(recipe.threads)
    measures_out.mkdir()
    measured: dict[str, float] = {}
    for split in others:
        found = measure(made, split)
        files.write_jsonl(measures_out / f"{split}.jsonl", found)
        measured |= likelihood.summary(found, split)
    best = stopping.delivered(history, recipe)
    if history:
        history[best - 1] |= {"validation_nll": measured["validation_nll_nats"], "delivered": 1}
        history[best - 1] |= watch(made)
    _write_history(measures_out / "history.csv", history)
    checkpoint.write(out, adapters.weights(made), config, beside=start)
    learnt = np.unique(examples.folds(rows)).tolist() if recipe.steps else []
    folds.record(out, [*folds.trained_on(start), *learnt])
    rates = [optimisers.peak_rate(each, num_trained) for each in phases.recipes(recipe)]
    return {
        "steps": len(history),
        "delivered_step": best,
        "num_tokens": int(history[-1]["tokens"]) if history else 0,
        "train_loss_last": round(history[-1]["loss"], 6) if history else 0.0,
        "learning_rate": max(rates) if history else 0.0,
        "num_trained": num_trained,
        "num_parameters": checkpoint.count_parameters(out),
        **{f"rows_rejected_{reason}": count for reason, count in rejected.items()},
        **measured,
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
    rows = rows[: recipe.max_rows]
    if loss.source:
        loss.source.require(rows)
    return loss, rows, rejected


def _begin(
    recipe: Training, names: list[str], start: Path, dtype: torch.dtype, place: torch.device
) -> CausalLM:
    """Return the model as its training begins; `names` are the matrices that adapters change."""
    model = load.causal_lm(start, dtype if recipe.adapter else torch.float32, place)
    if recipe.adapter:
        adapters.attach(model, recipe.adapter, names)
    return model


def _exact(
    model: CausalLM,
    begin: Callable[[], CausalLM],
    recipe: Training,
    start: Path,
    place: torch.device,
) -> CausalLM | None:
    """Return the model in float32, adapters merged: itself, or a copy of what ranks share.

    All ranks have to call this; the copy is rank 0's, others get None.
    """
    made = model
    if ranks.count() > 1:
        made = begin() if ranks.rank() == 0 else None
        into = checkpoints.trained(made) if made is not None else {}
        with torch.no_grad():
            for name, tensor in sharding.gathered(checkpoints.trained(model)):
                into[name].copy_(tensor)
    if recipe.adapter and made is not None:
        adapters.merge(made, start, place)
    return made


def _write_history(path: Path, history: list[dict[str, float]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, HISTORY_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
