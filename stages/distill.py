"""Train one student: from the teacher's cached distributions, from labels alone, or not at all.

Reads   student     checkpoint to start from
        dataset     folder with train.jsonl and heldout.jsonl
        logits      logit store of the trimmed teacher
Writes  out         checkpoint of the trained student
        history_out CSV: step, tokens, loss, ce, kl, lr, heldout_nll (nats a token)
        metrics     steps, tokens seen, held-out likelihood and perplexity with intervals
"""

import csv
from dataclasses import fields
from pathlib import Path
from typing import Annotated

from pydantic import Field

from potstill import stage
from potstill.models import checkpoint
from potstill.models.chat import ChatTokenizer
from potstill.params import Section

COLUMNS = ("step", "tokens", "loss", "ce", "kl", "lr", "heldout_nll")


class Params(Section):
    """Settings of one student of `distill`."""

    alpha: Annotated[float, Field(ge=0, le=1)]  # weight of the labels; 1 does not read the logits
    temperature: Annotated[float, Field(gt=0)]  # T of the KL, as in cache_logits
    steps: Annotated[int, Field(ge=0)]  # 0 leaves the student as it starts: the control
    batch_rows: Annotated[int, Field(ge=1)]
    accumulate: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    warmup_steps: Annotated[int, Field(ge=1)]
    weight_decay: float
    clip_norm: float
    evaluate_every: int
    checkpoint_every: int
    max_length: int
    max_rows: int
    chunk_tokens: int  # tokens whose logits exist at a time
    precision: str  # auto | float32 | bfloat16
    threads: int
    seed: int


def main(
    params: Params,
    *,
    student: Path,
    dataset: Path,
    logits: Path,
    out: Path,
    history_out: Path,
    scratch: Path,
) -> dict[str, float]:
    """Train, measure on held-out rows and save."""
    import torch

    from potstill.distill import device, examples, heldout, logit_store, training
    from potstill.models import load

    device.make_deterministic(params.seed, params.threads)
    place = device.pick_device()
    dtype = device.compute_dtype(params.precision, place)
    tokenizer = ChatTokenizer(student)
    rows, _ = examples.load(dataset / "train.jsonl", tokenizer, params.max_length)
    held, _ = examples.load(dataset / "heldout.jsonl", tokenizer, params.max_length)
    store = None
    if params.alpha < 1 and params.steps > 0:
        store = logit_store.LogitStore(logits)
        store.check(
            tokenizer_sha256=logit_store.tokenizer_hash(student),
            template_sha256=logit_store.template_hash(tokenizer.template),
            temperature=params.temperature,
        )
    model = load.causal_lm(student, torch.float32, place)

    def evaluate(model: torch.nn.Module) -> float:
        measured = heldout.measure(model, held, batch_rows=params.batch_rows, dtype=dtype)
        return measured["heldout_nll_nats"]

    names = {field.name for field in fields(training.Schedule)}
    history = training.train(
        model,
        rows[: params.max_rows],
        training.Loss(params.alpha, params.temperature, params.chunk_tokens, store),
        training.Schedule(**params.model_dump(include=names)),
        seed=params.seed,
        dtype=dtype,
        scratch=scratch,
        evaluate=evaluate,
    )
    measured = heldout.measure(model, held, batch_rows=params.batch_rows, dtype=dtype)
    if history:
        history[-1]["heldout_nll"] = measured["heldout_nll_nats"]
    state = {name: parameter for name, parameter in model.named_parameters()}
    checkpoint.write(out, state, checkpoint.read_config(student), beside=student)
    with history_out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(history)
    return {
        "steps": params.steps,
        "num_tokens": int(history[-1]["tokens"]) if history else 0,
        "train_loss_last": round(history[-1]["loss"], 6) if history else 0.0,
        "num_parameters": checkpoint.count_parameters(out),
        **measured,
    }


if __name__ == "__main__":
    stage.run(main, Params)
