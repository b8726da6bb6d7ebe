"""A few real steps: who pulls at the weights, how far the rate may go, what a step costs."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from potstill.distill import checkpoints, likelihood, optimisers, phases, training
from potstill.distill.training import Loss
from potstill.doctor.finding import Finding, judged
from potstill.doctor.patient import Patient
from potstill.tokens import examples
from potstill.tokens.examples import Example

LEAST_SHARE = 0.05  # of the gradient, below which a part of the loss does nothing
STEPS = 3  # at a rate
FACTORS = (1.0, 4.0)  # of the peak that are tried; lower ones where the first is too high
LOWER = (0.25, 1 / 16, 1 / 64)
HARM = 1.02  # times the start's validation loss, above which a rate does harm


@dataclass
class Costs:
    """What was measured beside; seconds are of this machine as it is now.

    Attributes:
        step_s: seconds of each step.
        step_tokens: tokens of its passes, padding counted.
        merge_s: seconds of making the model what is measured, and of going on from there.
        look_s: seconds of measuring validation rows.
        look_tokens: of these.
    """

    step_s: list[float]
    step_tokens: list[int]
    merge_s: float = 0.0
    look_s: float = 0.0
    look_tokens: int = 0

    @property
    def per_token_s(self) -> float:
        """Seconds of a step for each token of its passes; the first one, a warm-up, is out."""
        return sum(self.step_s[1:]) / sum(self.step_tokens[1:])

    @property
    def per_looked_token_s(self) -> float:
        """Seconds of measuring for each token."""
        return self.look_s / self.look_tokens


def gradient(patient: Patient) -> Finding:
    """Measure which share of the gradient is the teacher's, which the labels'."""
    alpha = patient.recipe.alpha
    assert patient.loss is not None, patient.complaint
    rows = list(patient.rows[: patient.recipe.batch_rows])
    parts = {
        "teacher": _norm(patient, rows, replace(patient.loss.objective, alpha=0.0)) * (1 - alpha),
        "labels": _norm(patient, rows, replace(patient.loss.objective, alpha=1.0)) * alpha,
    }
    share = parts["teacher"] / max(1e-30, sum(parts.values()))
    words = f"{share:.0%} of the gradient comes from the teacher, at alpha {alpha}"
    return judged(
        "gradient",
        share >= LEAST_SHARE and (alpha == 0 or 1 - share >= LEAST_SHARE),
        words,
        "one of the two does next to nothing: change alpha or temperature",
        share=share,
    )


def _norm(patient: Patient, rows: list[Example], objective: object) -> float:
    """Return the norm of the gradient of a loss over rows."""
    assert patient.loss is not None
    loss = Loss(objective, patient.loss.source)  # type: ignore[arg-type]
    patient.model.train()
    for part in examples.passes(rows, patient.recipe.pass_tokens):
        training.batch_loss(patient.model, part, loss, patient.begin.dtype).loss.backward()
    total = torch.stack([
        p.grad.float().square().sum()
        for p in checkpoints.trained(patient.model).values() if p.grad is not None
    ]).sum().sqrt().item()  # fmt: skip
    patient.model.zero_grad(set_to_none=True)
    return total


def rate(patient: Patient, costs: Costs) -> Finding:
    """Take a few steps at the peak rate, and at a multiple: held-out rows must not get worse.

    The steps have no warm-up, so what harms here may pass with one; what passes here passes.
    """
    if patient.loss is None or patient.loss.preference or patient.loss.hidden:
        return Finding("rate", "not-run", "pairs and layers are not tried")
    count = sum(p.numel() for p in checkpoints.trained(patient.model).values())
    peak = max(optimisers.peak_rate(each, count) for each in phases.recipes(patient.recipe))
    measure(patient, costs)
    before = _look(patient)
    after = {factor: _after(patient, peak * factor, costs) for factor in FACTORS[:1]}
    limit = before * HARM
    if after[1.0] <= limit:
        after |= {factor: _after(patient, peak * factor, costs) for factor in FACTORS[1:]}
        stable = max(factor for factor, nats in after.items() if nats <= limit)
        room = f"{stable:g} times as much does not either" if stable > 1 else (
            f"{FACTORS[-1]:g} times as much does"
        )  # fmt: skip
        words = f"{STEPS} steps at the peak rate {peak:.2g} do no harm ({before:.3f} to "
        words += f"{after[1.0]:.3f} nats), {room}"
        return Finding("rate", "pass", words, {"rate": peak, "stable_factor": stable})
    for factor in LOWER:
        after[factor] = _after(patient, peak * factor, costs)
        if after[factor] <= limit:
            break
    good = [factor for factor, nats in after.items() if nats <= limit]
    advice = f"set learning_rate to {peak * max(good):.2g}" if good else "look at the rows"
    return judged(
        "rate",
        False,
        f"{STEPS} steps at the peak rate {peak:.2g} take held-out rows from {before:.3f} to "
        f"{after[1.0]:.3f} nats",
        advice,
        rate=peak,
        stable_factor=max(good, default=0.0),
    )


def _after(patient: Patient, peak: float, costs: Costs) -> float:
    """Return the held-out loss after a few steps at a rate; the weights are put back."""
    assert patient.loss is not None
    weights = checkpoints.trained(patient.model)
    kept = {name: weight.detach().clone() for name, weight in weights.items()}
    optimiser = optimisers.make(list(weights.values()), patient.recipe)
    optimisers.set_rate(optimiser, peak)
    patient.model.train()
    size = patient.recipe.batch_rows
    for step in range(STEPS):
        rows = [patient.rows[n % len(patient.rows)] for n in range(step * size, (step + 1) * size)]
        started = time.perf_counter()
        _step(patient, optimiser, rows, patient.loss)
        costs.step_s.append(time.perf_counter() - started)
        costs.step_tokens.append(padded(rows, patient.recipe.pass_tokens))
    nats = _look(patient)
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(kept[name])
    return nats


def _step(
    patient: Patient, optimiser: torch.optim.Optimizer, rows: list[Example], loss: Loss
) -> None:
    total = loss.total(rows)
    for part in examples.passes(rows, patient.recipe.pass_tokens):
        found = training.batch_loss(patient.model, part, loss, patient.begin.dtype)
        (found.loss / total).backward()
    trained = checkpoints.trained(patient.model).values()
    torch.nn.utils.clip_grad_norm_(trained, patient.recipe.clip_norm)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)


def measure(patient: Patient, costs: Costs) -> None:
    """Time what a training does between steps: a few held-out rows by the exact model."""
    rows, size = patient.heldout[:8], patient.recipe.batch_rows
    started = time.perf_counter()
    made = patient.begin.exact(patient.model)
    assert made is not None, "one process looks"
    merged = time.perf_counter()
    likelihood.row_nlls(made, rows, batch_rows=size)
    looked = time.perf_counter()
    patient.begin.go_on(patient.model, made)
    costs.merge_s = merged - started + time.perf_counter() - looked
    costs.look_s, costs.look_tokens = looked - merged, padded_looks(rows, size)


def _look(patient: Patient) -> float:
    """Return the loss of held-out rows in the dtype of steps; no number is infinitely bad."""
    place, dtype = patient.begin.place, patient.begin.dtype
    with torch.autocast(place.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        found = likelihood.row_nlls(
            patient.model, patient.heldout, batch_rows=patient.recipe.batch_rows
        ).values()
    nats = sum(nll for nll, _ in found) / sum(tokens for _, tokens in found)
    return nats if math.isfinite(nats) else math.inf


def padded(rows: Sequence[Example], pass_tokens: int) -> int:
    """Return the tokens of the passes over rows, padding counted."""
    return sum(len(part) * len(part[0].ids) for part in examples.passes(rows, pass_tokens))


def padded_looks(rows: Sequence[Example], batch_rows: int) -> int:
    """Return the tokens of the batches in which rows are measured, padding counted."""
    batches = examples.by_length(rows, batch_rows)
    return sum(len(batch) * max(len(row.ids) for row in batch) for batch in batches)
