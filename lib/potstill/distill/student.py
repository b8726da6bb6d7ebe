"""Train one model from start to measurement: what the stages `adapt_teacher` and `distill` do."""

import csv
from pathlib import Path
from typing import Any

import torch

from potstill import files
from potstill.distill import heldout, training
from potstill.distill.recipe import Recipe, Training
from potstill.loading import device, load
from potstill.logits import store as logit_store
from potstill.models import checkpoint
from potstill.models.chat import ChatTokenizer
from potstill.tokens import examples

HISTORY_COLUMNS = ("step", "tokens", "loss", "ce", "kl", "lr", "heldout_nll")


def distillation_loss(recipe: Recipe, start: Path, logits: Path) -> training.Loss:
    """Return the loss of a recipe; the store is opened only where it counts.

    Raises:
        InputError: the logits were made for another tokenizer or template.
    """
    store = None
    if recipe.alpha < 1 and recipe.steps > 0:
        store = logit_store.LogitStore(logits)
        store.check(
            tokenizer_sha256=logit_store.tokenizer_hash(start),
            template_sha256=logit_store.template_hash(ChatTokenizer(start).template),
        )
    return training.Loss(recipe.chunk_tokens, recipe.alpha, recipe.temperature, store)


def train(
    recipe: Training,
    loss: training.Loss,
    *,
    start: Path,
    dataset: Path,
    out: Path,
    measures_out: Path,
    scratch: Path,
) -> dict[str, float]:
    """Train a checkpoint; write it and its measures, and return their summary.

    Raises:
        InputError: no row fits, or the loss has no logits of a row.
    """
    device.make_deterministic(recipe.seed, recipe.threads)
    place = device.pick_device()
    dtype = device.compute_dtype(recipe.precision, place)
    tokenizer = ChatTokenizer(start)
    rows, rejected = examples.load(dataset / "train.jsonl", tokenizer, recipe.max_length)
    held, _ = examples.load(dataset / "heldout.jsonl", tokenizer, recipe.max_length)
    model = load.causal_lm(start, torch.float32, place)

    def measure() -> list[dict[str, Any]]:
        return heldout.measure(model, held, batch_rows=recipe.batch_rows, dtype=dtype)

    history = training.train(
        model,
        rows[: recipe.max_rows],
        loss,
        recipe,
        dtype=dtype,
        scratch=scratch,
        evaluate=lambda _: heldout.nll(measure()).value,
    )
    found = measure()
    measures_out.mkdir()
    files.write_jsonl(measures_out / "heldout.jsonl", found)
    measured = heldout.summary(found)
    if history:
        history[-1]["heldout_nll"] = measured["heldout_nll_nats"]
    _write_history(measures_out / "history.csv", history)
    checkpoint.write(
        out, dict(model.named_parameters()), checkpoint.read_config(start), beside=start
    )
    return {
        "steps": recipe.steps,
        "num_tokens": int(history[-1]["tokens"]) if history else 0,
        "train_loss_last": round(history[-1]["loss"], 6) if history else 0.0,
        "num_parameters": checkpoint.count_parameters(out),
        **{f"rows_rejected_{reason}": count for reason, count in rejected.items()},
        **measured,
    }


def _write_history(path: Path, history: list[dict[str, float]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, HISTORY_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
