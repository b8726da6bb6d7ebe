"""A few real steps: who pulls at the weights, how far the rate may go, what a step costs."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from safetensors.torch import load_file, save_file

from potstill import statistics
from potstill.distill import checkpoints, likelihood, optimisers, phases, training
from potstill.distill.training import Loss
from potstill.doctor.finding import Finding, judged
from potstill.doctor.patient import Patient
from potstill.loading import device
from potstill.tokens import examples, packing
from potstill.tokens.examples import Example

Nlls = dict[str, tuple[float, int]]  # key of a row -> nats of its answer, tokens

KEPT = "trained.safetensors"
LEAST_SHARE = 0.05  # of the gradient, below which a part of the loss does nothing
STEPS = 3  # at a rate
FACTORS = (1.0, 4.0)  # of the peak that are tried; lower ones where the first is too high
LOWER = (0.25, 1 / 16, 1 / 64)
# A rate does harm that adds more than a share of the start's validation loss, and more than this
HARM, HARM_NATS = 0.02, 0.01


@dataclass
class Costs:
    """What was measured beside; seconds are of this machine as it is now.

    Attributes:
        step_s: seconds of each step.
        step_tokens: tokens of its passes.
        merge_s: seconds of making the model what is measured, and of going on from there.
        look_s: seconds of measuring validation rows.
        look_tokens: of these.
        save_s: seconds of writing a checkpoint.
    """

    step_s: list[float]
    step_tokens: list[int]
    merge_s: float = 0.0
    look_s: float = 0.0
    look_tokens: int = 0
    save_s: float = 0.0

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
    assert patient.loss is not None, patient.complaint
    alpha = patient.loss.objective.alpha
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
    for part in packing.passes(rows, patient.recipe.pass_tokens):
        training.batch_loss(patient.model, part, loss, patient.begin.dtype).loss.backward()
    total = torch.stack([
        p.grad.float().square().sum()
        for p in checkpoints.trained(patient.model).values() if p.grad is not None
    ]).sum().sqrt().item()  # fmt: skip
    patient.model.zero_grad(set_to_none=True)
    return total


def rate(patient: Patient, costs: Costs) -> Finding:
    """Take a few steps up to the peak rate, and to a multiple: held-out rows must not get worse.

    Three steps are a warm-up of three: a rate that harms only later passes here. Worse means worse
    beyond the rows' noise (the lower end of the paired interval over their families).
    """
    if not patient.recipe.steps:
        return Finding("rate", "not-run", "nothing is trained")
    if patient.loss is None or patient.loss.hidden:
        return Finding("rate", "not-run", "layers are not tried")
    count = sum(p.numel() for p in checkpoints.trained(patient.model).values())
    peak = max(optimisers.peak_rate(each, count) for each in phases.recipes(patient.recipe))
    measure(patient, costs)
    save_file(_weights(patient), str(patient.scratch / KEPT))
    before = _look(patient)
    tried = {factor: _after(patient, peak * factor, costs) for factor in FACTORS[:1]}
    first, was = _mean(tried[1.0]), _mean(before)
    numbers = {"rate": peak, "before_nats": was, "after_nats": first}
    if not _harmed(patient, before, tried[1.0]):
        tried |= {factor: _after(patient, peak * factor, costs) for factor in FACTORS[1:]}
        stable = max(f for f, after in tried.items() if not _harmed(patient, before, after))
        room = f"{stable:g} times as much does not either" if stable > 1 else (
            f"{FACTORS[-1]:g} times as much does"
        )  # fmt: skip
        words = f"{STEPS} steps up to the peak rate {peak:.2g} do no harm ({was:.3f} to {first:.3f}"
        numbers["stable_factor"] = stable
        return Finding("rate", "pass", f"{words} nats), {room}", numbers)
    good: list[float] = []
    for factor in LOWER:
        if not _harmed(patient, before, _after(patient, peak * factor, costs)):
            good.append(factor)
            break
    advice = f"set learning_rate to {peak * max(good):.2g}" if good else "look at the rows"
    return judged(
        "rate",
        False,
        f"{STEPS} steps up to the peak rate {peak:.2g} take held-out rows from {was:.3f} to "
        f"{first:.3f} nats",
        advice,
        **numbers,
        stable_factor=max(good, default=0.0),
    )


def _harmed(patient: Patient, before: Nlls, after: Nlls) -> bool:
    """Say whether held-out rows got worse beyond their noise; no number is infinitely bad."""
    if not math.isfinite(_mean(after)):
        return True
    groups = {row.key: row.group for row in patient.heldout}
    change = statistics.cluster_ratio(
        [after[key][0] - before[key][0] for key in before],
        [before[key][1] for key in before],
        [groups[key] for key in before],
    )
    return change.low > max(HARM_NATS, HARM * _mean(before))


def _mean(nlls: Nlls) -> float:
    """Return nats a token."""
    return sum(nll for nll, _ in nlls.values()) / sum(tokens for _, tokens in nlls.values())


def _weights(patient: Patient) -> dict[str, torch.Tensor]:
    return {name: w.detach().contiguous() for name, w in checkpoints.trained(patient.model).items()}


def _after(patient: Patient, peak: float, costs: Costs) -> Nlls:
    """Return held-out losses after a few steps that warm up to a rate; the weights are put back.

    They come back from the disk: a training holds no copy of them either.
    """
    assert patient.loss is not None
    weights = checkpoints.trained(patient.model)
    optimiser = optimisers.make(list(weights.values()), patient.recipe)
    patient.model.train()
    size = patient.recipe.batch_rows
    for step in range(STEPS):
        optimisers.set_rate(optimiser, peak * (step + 1) / STEPS)
        rows = [patient.rows[n % len(patient.rows)] for n in range(step * size, (step + 1) * size)]
        started = _now(patient)
        _step(patient, optimiser, rows, patient.loss)
        device.release_memory()
        costs.step_s.append(_now(patient) - started)
        costs.step_tokens.append(step_tokens(rows, patient.recipe.pass_tokens))
    if patient.recipe.checkpoint_every and not costs.save_s:
        started = _now(patient)
        checkpoints.save(patient.model, optimiser, [{"step": 1}], patient.scratch)
        costs.save_s = _now(patient) - started
    del optimiser
    nlls = _look(patient)
    with torch.no_grad():
        for name, kept in load_file(patient.scratch / KEPT).items():
            weights[name].copy_(kept)
    return nlls


def _now(patient: Patient) -> float:
    """Return the time, once what was asked of the device is done."""
    if patient.begin.place.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def _step(
    patient: Patient, optimiser: torch.optim.Optimizer, rows: list[Example], loss: Loss
) -> None:
    total = loss.total(rows)
    for part in packing.passes(rows, patient.recipe.pass_tokens):
        found = training.batch_loss(patient.model, part, loss, patient.begin.dtype)
        (found.loss / total).backward()
    trained = checkpoints.trained(patient.model).values()
    torch.nn.utils.clip_grad_norm_(trained, patient.recipe.clip_norm)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)


def measure(patient: Patient, costs: Costs) -> None:
    """Time what a training does between steps: a few held-out rows by the exact model."""
    rows, size = patient.heldout[:8], patient.recipe.batch_rows
    started = _now(patient)
    made = patient.begin.exact(patient.model)
    assert made is not None, "one process looks"
    merged = _now(patient)
    likelihood.row_nlls(made, rows[:1], batch_rows=size)  # what a first product costs beside
    begun = _now(patient)
    likelihood.row_nlls(made, rows, batch_rows=size)
    looked = _now(patient)
    patient.begin.go_on(patient.model, made)
    costs.merge_s = merged - started + _now(patient) - looked
    costs.look_s, costs.look_tokens = looked - begun, look_tokens(rows, size)


def _look(patient: Patient) -> Nlls:
    """Return the losses of held-out rows in the dtype of steps."""
    place, dtype = patient.begin.place, patient.begin.dtype
    with torch.autocast(place.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
        return likelihood.row_nlls(
            patient.model, patient.heldout, batch_rows=patient.recipe.batch_rows
        )


def step_tokens(rows: Sequence[Example], pass_tokens: int) -> int:
    """Return the tokens of the passes over the rows of a step."""
    return sum(map(packing.num_tokens, packing.passes(rows, pass_tokens)))


def look_tokens(rows: Sequence[Example], batch_rows: int) -> int:
    """Return the tokens of the batches in which rows are measured."""
    return sum(map(packing.num_tokens, examples.by_length(rows, batch_rows)))
