"""The training loop: byte-equal weights whether it ran through or was killed and resumed.

Nothing of the loop has hidden state: the batches of an epoch and the learning rate of a step are
functions of (seed, epoch) and step; what a run goes on from lies in `distill.checkpoints`.
"""

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch

from potstill import progress
from potstill.distill import checkpoints, optimisers, phases, qat, ranks, sharding, stopping
from potstill.distill.hidden import Matching
from potstill.distill.objective import LossSums, Objective, Spoken
from potstill.distill.objectives.tokens import Signal
from potstill.distill.preference import Preference, PreferenceSums
from potstill.distill.recipe import Training
from potstill.errors import InputError
from potstill.loading import device
from potstill.loading.load import CausalLM
from potstill.logits.source import Source
from potstill.tokens import examples, packing
from potstill.tokens.examples import Example


@dataclass(frozen=True)
class Loss:
    """What is minimised; without a source of distributions only the labels are used."""

    objective: Objective
    source: Source | None = None
    hidden: Matching | None = None  # of a source that is a live teacher
    preference: Preference | None = None  # of pairs of answers; the objective is then not asked
    reward: float = 0.0  # weight of the advantages of answers that the student gave

    def total(self, rows: list[Example]) -> float:
        """Return what the sums of a step are divided by: weights of tokens, or pairs."""
        return len(rows) if self.preference else sum(row.total_weight for row in rows)

    def read(self, row: Example) -> list[Example]:
        """Return the rows that are read for one: it, and what is chosen over it."""
        return self.preference.both([row]) if self.preference else [row]

    def attach(self, model: CausalLM) -> None:
        """Put what is trained beside a model into it, so that it is shared, saved and resumed."""
        if self.hidden:
            self.hidden.attach(model)

    def detach(self, model: CausalLM) -> None:
        """Take that out again: it is no part of what is measured and delivered."""
        if self.hidden:
            self.hidden.detach(model)

    def taught(self, rows: list[Example]) -> tuple[Signal | None, list[torch.Tensor]]:
        """Return what the teacher says of rows: to the objective, and in its matched layers."""
        if self.hidden is None:
            return (self.source.signal_of(rows) if self.source else None), []
        layers = self.hidden.teacher_layers
        signal, states = self.hidden.teacher.with_states(rows, layers)
        return (signal if self.objective.alpha != 1 else None), states


class Feed(Protocol):
    """Gives the rows of a step where they depend on what the model is by then."""

    def rows(self, step: int, model: CausalLM) -> list[Example]:
        """Return the rows of a step, counted from 0; the model stays as it is."""
        ...

    def columns(self, step: int) -> dict[str, float]:
        """Return what the history tells of the rows of a step."""
        ...


def batches(rows: Sequence[Example], recipe: Training, first_step: int) -> Iterator[list[Example]]:
    """Yield the rows of each step from `first_step` on, epoch after epoch."""
    per_epoch = math.ceil(len(rows) / recipe.batch_rows)
    plans: dict[int, examples.Batches] = {}
    for step in range(first_step, recipe.steps):
        epoch, offset = divmod(step, per_epoch)
        if epoch not in plans:
            plans = {epoch: examples.order(rows, recipe.batch_rows, recipe.seed, epoch)}
        yield [rows[row] for row in plans[epoch][offset]]


def train(
    model: CausalLM,
    rows: Sequence[Example],
    loss: Loss,
    recipe: Training,
    *,
    dtype: torch.dtype,
    scratch: Path,
    evaluate: Callable[[CausalLM], Mapping[str, float]],
    feed: Feed | None = None,
) -> list[dict[str, float]]:
    """Train in place and return the history, one row a step.

    With `patience` the model ends as it was at the step of its lowest validation loss.

    Args:
        model: a causal language model on its device; what is trained of it is float32.
        rows: training examples.
        loss: the loss and what says what the teacher says.
        recipe: steps, rows a step, learning rate, seed.
        dtype: of matrix products; bfloat16 runs under autocast.
        scratch: folder for checkpoints; a later call with the same folder goes on from them.
        evaluate: returns what is measured of the model on validation: validation_nll in nats a
            token, and what else becomes a column; with `qat` what `qat.watch` returns. It must
            leave the weights as they are.
        feed: makes the rows of each step out of these; None takes them as they are.

    Returns:
        Rows of step, tokens (answer tokens seen), loss, ce, divergence (nats a token), lr, what
        `evaluate` measured and what `feed` tells; hidden (mean distance of a token) where the loss
        has it, staleness (nats a token) of a student's own answers; of pairs loss (nats a pair),
        margin, correct (a share) and ce (of the chosen).

    Raises:
        InputError: a loss or a gradient is no number, a phase has no rows, a checkpoint cannot be
            written, the best one is damaged, or see `qat.require`.
    """
    num_trained = sum(p.numel() for p in checkpoints.trained(model).values())
    loss.attach(model)
    forward = sharding.shard(model)

    def compute(part: list[Example]) -> dict[str, torch.Tensor]:
        return forward(batch_loss, part, loss, dtype)

    parameters = list(checkpoints.trained(model).values())
    parts = phases.parts(recipe, rows)
    optimiser = optimisers.make(parameters, recipe)
    history = checkpoints.resume(model, optimiser, scratch)
    first = len(history)
    tokens = int(history[-1]["tokens"]) if history else 0
    if recipe.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    stream = itertools.chain.from_iterable(_of_part(part, first) for part in parts)
    with progress.bar(hidden=ranks.rank() > 0) as bar:
        task = bar.add_task("train", total=recipe.steps, completed=first, info="")
        for step in range(first, recipe.steps):
            if stopping.is_over(history, recipe):
                break
            rate = phases.at(parts, step).rate(step, num_trained) * qat.rate(recipe, step)
            optimisers.set_rate(optimiser, rate)
            torch.manual_seed(_seed_of(recipe, step))
            read = feed.rows(step, model) if feed else next(stream)
            row = _step(model, optimiser, read, loss, compute, recipe, step)
            row |= feed.columns(step) if feed else {}
            tokens += int(row.pop("answer_tokens"))
            if stopping.is_evaluated(recipe, step + 1):
                loss.detach(model)
                row |= evaluate(model)
                qat.require(row, recipe, step + 1)
                loss.attach(model)
                model.train()
            history.append({"step": step + 1, "tokens": tokens, "lr": rate, **row})
            bar.update(task, advance=1, info=f"loss {row['loss']:.3f}", refresh=True)
            if _is_saved(recipe, history):
                best = stopping.delivered(history, recipe) if recipe.patience else None
                checkpoints.save(model, optimiser, history, scratch, best)
    if (best := stopping.delivered(history, recipe)) < len(history):
        checkpoints.load_weights(model, scratch, best)
    loss.detach(model)
    return history


def _of_part(part: phases.Part, first: int) -> Iterator[list[Example]]:
    """Yield the rows of each step of a phase that is not before `first`, a step of the training."""
    whole = part.recipe.model_copy(update={"steps": part.seen + part.recipe.steps})
    return batches(part.rows, whole, part.seen + max(0, first - part.first))


def _is_saved(recipe: Training, history: checkpoints.History) -> bool:
    """Say whether the newest step gets a checkpoint: it is due, or may be what is delivered."""
    step, every = len(history), recipe.checkpoint_every
    due = bool(every) and step % every == 0
    chosen = recipe.patience is not None and stopping.is_evaluated(recipe, step)
    best = chosen and stopping.delivered(history, recipe) == step
    return step < recipe.steps and (due or best)


def _seed_of(recipe: Training, step: int) -> int:
    """Return the seed of what a step draws (dropout): a resumed run draws the same."""
    own = f"/{ranks.rank()}" if ranks.rank() else ""
    digest = hashlib.sha256(f"{recipe.seed}/{step}{own}".encode()).digest()
    return int.from_bytes(digest[:7], "big")


def _step(
    model: CausalLM,
    optimiser: torch.optim.Optimizer,
    rows: list[Example],
    loss: Loss,
    compute: Callable[[list[Example]], dict[str, torch.Tensor]],
    recipe: Training,
    step: int,
) -> dict[str, float]:
    total = loss.total(rows)
    num_tokens = sum(read.num_answer_tokens for row in rows for read in loss.read(row))
    sums: dict[str, float] = {}
    with qat.rounded(model, on=qat.is_on(recipe, step)):
        for part, counts in sharding.passes(rows, recipe.pass_tokens, loss.read):
            found = compute(part)
            (found["loss"] / total * counts).backward()
            for name, summed in found.items():
                sums[name] = sums.get(name, 0.0) + summed.item() / total * counts
    if recipe.keep_zeros:
        _keep_zeros(model)
    sums = sharding.summed(sums)
    gradient = torch.nn.utils.clip_grad_norm_(checkpoints.trained(model).values(), recipe.clip_norm)
    norm = sharding.whole(gradient).item()
    for name, value in (("loss", sums["loss"]), ("norm of the gradient", norm)):
        if not math.isfinite(value):  # before the optimiser touches a weight
            raise InputError(
                f"step {step + 1}: the {name} is {value}; the last checkpoint is as it was: lower "
                "learning_rate, or set precision to float32"
            )
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    device.release_memory()
    return {**sums, "answer_tokens": float(num_tokens)}


def _keep_zeros(model: CausalLM) -> None:
    """Let no matrix's zeros have a gradient: moments and decay then leave them as they are."""
    for weight in checkpoints.trained(model).values():
        if weight.ndim == 2 and weight.grad is not None:
            weight.grad.masked_fill_(weight == 0, 0)


def batch_loss(
    model: CausalLM,
    rows: list[Example],
    loss: Loss,
    dtype: torch.dtype,
) -> LossSums | PreferenceSums:
    """Return the loss sums over the answer tokens of some rows, or over pairs."""
    if loss.preference:
        return loss.preference.sums(model, rows, dtype)
    place = next(model.parameters()).device
    batch = packing.pack(rows, place)
    signal, targets = loss.taught(rows)
    weights_N = examples.weights(rows)
    weights_N = weights_N.to(place) if weights_N is not None else None
    spoken = _spoken(rows, loss.reward, place)
    with torch.autocast(place.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        output = model.model(**batch.inputs, output_hidden_states=loss.hidden is not None)
        sums = loss.objective(
            batch.predicting(output.last_hidden_state),
            model.lm_head,
            batch.answers_N,
            signal.to(place) if signal is not None else None,
            weights_N,
            spoken,
        )
    if loss.hidden is None:
        return sums
    distance = loss.hidden.loss(output.hidden_states, batch, targets, weights_N)
    total = sums.loss + loss.hidden.weight * distance
    return replace(sums, loss=total, hidden=distance.detach())


def _spoken(rows: list[Example], reward: float, place: torch.device) -> Spoken | None:
    """Return what is known of answers that the student gave; None of other rows."""
    found = examples.spoken(rows)
    if found is None:
        return None
    known_N, advantages_N = (tensor.to(place) for tensor in found)
    return Spoken(known_N, reward * advantages_N)
