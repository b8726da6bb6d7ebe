"""Train one model from start to measurement: what the stages `adapt_teacher` and `distill` do."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import torch

from potstill import files
from potstill.distill import (
    adapters,
    checkpoints,
    inside,
    likelihood,
    optimisers,
    phases,
    stopping,
    training,
)
from potstill.distill.objective import Objective
from potstill.distill.recipe import Recipe, Training
from potstill.loading import device, load
from potstill.loading.load import CausalLM
from potstill.logits import source
from potstill.models import checkpoint
from potstill.models.chat import ChatTokenizer
from potstill.tokens import examples, folds, table

HISTORY_COLUMNS = (
    *("step", "tokens", "loss", "ce", "divergence", "lr", "validation_nll"),
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
            the objective cannot be computed from it.
    """
    objective = Objective(
        recipe.objective,
        alpha=recipe.alpha,
        temperature=recipe.temperature,
        beta=recipe.beta,
        margin=recipe.margin,
        chunk_tokens=recipe.chunk_tokens,
    )
    if recipe.alpha == 1 or recipe.steps == 0:
        return training.Loss(objective)
    place = device.pick_device()
    teacher = source.open_source(signal, device.compute_dtype(recipe.precision, place), place)
    teacher.check(ChatTokenizer(start).hashes())
    objective.check(teacher.signal)
    return training.Loss(objective, teacher)


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

    Rows in another tokenizer's ids are tokenised again; the summary counts those that it rejects.

    Raises:
        InputError: no row fits, none asks for code where `inside` is set, the loss has no signal of
            a row, the start's family lacks a matrix that an adapter shall change, or see
            `training.train`.
    """
    config = checkpoint.read_config(start)
    names = adapters.targets(recipe.adapter, config, start) if recipe.adapter else []
    device.make_deterministic(recipe.seed, recipe.threads)
    place = device.pick_device()
    dtype = device.compute_dtype(recipe.precision, place)
    chat, own = ChatTokenizer(start), scratch / "tokens"
    rows, rejected = table.fit(tokens / "train.arrow", chat, own / "train.arrow")
    rows = rows.of_folds(recipe.folds)[: recipe.max_rows]
    if loss.source:
        loss.source.require(rows)
    others = {
        split: table.fit(tokens / f"{split}.arrow", chat, own / f"{split}.arrow")[0]
        for split in ("validation", "test")
    }
    watch = inside.watch(recipe.inside, others["validation"], chat, recipe.batch_rows)
    model = load.causal_lm(start, dtype if recipe.adapter else torch.float32, place)
    if recipe.adapter:
        adapters.attach(model, recipe.adapter, names)
    num_trained = sum(p.numel() for p in checkpoints.trained(model).values())

    def measure(split: str) -> list[dict[str, Any]]:
        return likelihood.measure(model, others[split], chat, batch_rows=recipe.batch_rows)

    def look() -> dict[str, float]:
        return {"validation_nll": likelihood.nll(measure("validation")).value, **watch(model)}

    def evaluate(_: CausalLM) -> dict[str, float]:
        if not recipe.adapter:
            return look()
        adapters.merge(model, start, place)
        found = look()
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
    if recipe.adapter:
        adapters.merge(model, start, place)
    measures_out.mkdir()
    measured: dict[str, float] = {}
    for split in others:
        found = measure(split)
        files.write_jsonl(measures_out / f"{split}.jsonl", found)
        measured |= likelihood.summary(found, split)
    best = stopping.delivered(history, recipe)
    if history:
        history[best - 1] |= {"validation_nll": measured["validation_nll_nats"], "delivered": 1}
        history[best - 1] |= watch(model)
    _write_history(measures_out / "history.csv", history)
    checkpoint.write(out, adapters.weights(model), config, beside=start)
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


def _write_history(path: Path, history: list[dict[str, float]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, HISTORY_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
