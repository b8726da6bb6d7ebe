"""Train one student from start to measurement: what the stage `distill` does."""

import csv
from pathlib import Path

import torch

from potstill.distill import device, examples, heldout, logit_store, training
from potstill.distill.recipe import Recipe
from potstill.models import checkpoint, load
from potstill.models.chat import ChatTokenizer
from potstill.models.load import CausalLM

HISTORY_COLUMNS = ("step", "tokens", "loss", "ce", "kl", "lr", "heldout_nll")


def train(
    recipe: Recipe,
    *,
    student: Path,
    dataset: Path,
    logits: Path,
    out: Path,
    history_out: Path,
    scratch: Path,
) -> dict[str, float]:
    """Train a checkpoint, write the result and its history, and return its measures.

    Raises:
        InputError: the logits were made for another tokenizer, template, temperature or data set,
            or no row fits.
    """
    device.make_deterministic(recipe.seed, recipe.threads)
    place = device.pick_device()
    dtype = device.compute_dtype(recipe.precision, place)
    tokenizer = ChatTokenizer(student)
    rows, _ = examples.load(dataset / "train.jsonl", tokenizer, recipe.max_length)
    held, _ = examples.load(dataset / "heldout.jsonl", tokenizer, recipe.max_length)
    store = None
    if recipe.alpha < 1 and recipe.steps > 0:
        store = logit_store.LogitStore(logits)
        store.check(
            tokenizer_sha256=logit_store.tokenizer_hash(student),
            template_sha256=logit_store.template_hash(tokenizer.template),
            temperature=recipe.temperature,
        )
    model = load.causal_lm(student, torch.float32, place)

    def measure() -> dict[str, float]:
        return heldout.measure(model, held, batch_rows=recipe.batch_rows, dtype=dtype)

    history = training.train(
        model,
        rows[: recipe.max_rows],
        training.Loss(recipe.alpha, recipe.temperature, recipe.chunk_tokens, store),
        recipe,
        dtype=dtype,
        scratch=scratch,
        evaluate=lambda _: measure()["heldout_nll_nats"],
    )
    measured = measure()
    if history:
        history[-1]["heldout_nll"] = measured["heldout_nll_nats"]
    _save(model, history, student=student, out=out, history_out=history_out)
    return {
        "steps": recipe.steps,
        "num_tokens": int(history[-1]["tokens"]) if history else 0,
        "train_loss_last": round(history[-1]["loss"], 6) if history else 0.0,
        "num_parameters": checkpoint.count_parameters(out),
        **measured,
    }


def _save(
    model: CausalLM,
    history: list[dict[str, float]],
    *,
    student: Path,
    out: Path,
    history_out: Path,
) -> None:
    checkpoint.write(
        out, dict(model.named_parameters()), checkpoint.read_config(student), beside=student
    )
    with history_out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, HISTORY_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
