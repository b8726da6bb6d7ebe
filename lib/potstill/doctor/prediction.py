"""How long a training will take, how much memory and disk, from a few of its steps.

Seconds a token of a step and of a measurement are taken from `steps`; how many of both a training
has follows from the lengths of its rows and its seed, but for what rows begin with alike, which is
measured of some steps. What `patience` saves is not known before: a training may end earlier.
"""

import resource

import torch

from potstill.distill import checkpoints, stopping
from potstill.doctor import steps
from potstill.doctor.finding import Finding
from potstill.doctor.patient import Patient
from potstill.doctor.steps import Costs
from potstill.models import checkpoint
from potstill.tokens import examples

_MOMENTS = 2  # of AdamW, float32 as the weights
READ_STEPS = 32  # whose rows are read for what they begin with alike


def predict(
    patient: Patient,
    costs: Costs,
    loading_s: float,
    *,
    step_tokens: int | None = None,
    answers_s: float | None = None,
) -> Finding:
    """Foresee a training.

    Args:
        patient: the training.
        costs: of the steps that `steps.rate` made.
        loading_s: seconds in which tokenizer, model and teacher were loaded.
        step_tokens: of all steps' passes; None counts those of the rows.
        answers_s: seconds in which the student answers; None where it is not asked.
    """
    recipe = patient.recipe
    if not costs.step_s[1:]:
        return Finding("prediction", "not-run", "no step was made")
    if recipe.processes > 1:
        return Finding("prediction", "not-run", "of several processes nothing is foreseen")
    looks = sum(stopping.is_evaluated(recipe, step + 1) for step in range(recipe.steps))
    heldout = {
        name: steps.look_tokens(rows, recipe.batch_rows) for name, rows in patient.measured.items()
    }
    looked = looks * heldout["validation"] + sum(heldout.values())
    saves = (recipe.steps - 1) // recipe.checkpoint_every if recipe.checkpoint_every else 0
    numbers = {
        "steps_s": (step_tokens or _step_tokens(patient)) * costs.per_token_s,
        "looks_s": looked * costs.per_looked_token_s + (looks + 1) * costs.merge_s,
        "saves_s": saves * costs.save_s,
        "loading_s": loading_s,
        "memory_mb": _peak_mb(),
        "disk_mb": _disk_bytes(patient) / 1e6,
    }
    numbers |= {"answers_s": answers_s} if answers_s is not None else {}
    numbers["seconds"] = sum(value for name, value in numbers.items() if name.endswith("_s"))
    words = (
        f"{recipe.steps} steps take about {_span(numbers['seconds'])} on this machine, "
        f"{numbers['memory_mb'] / 1e3:.1f} GB of memory, {numbers['disk_mb'] / 1e3:.1f} GB of disk"
    )
    if torch.cuda.is_available():
        numbers["gpu_memory_mb"] = torch.cuda.max_memory_reserved() / 1e6
        words += f", {numbers['gpu_memory_mb'] / 1e3:.1f} GB on the GPU"
    if recipe.inside:
        words += "; the answers that `inside` asks for come on top"
    return Finding("prediction", "pass", words, numbers)


def _step_tokens(patient: Patient) -> int:
    """Return the tokens of all steps' passes: rows stand for their lengths in most of them."""
    total = 0.0
    for part in patient.parts:
        lengths = examples.lengths(part.rows)
        size, seed = part.recipe.batch_rows, part.recipe.seed
        per_epoch, plan = -(-len(lengths) // size), (-1, examples.order(part.rows, size, seed, 0))
        every = max(1, part.recipe.steps // READ_STEPS)
        whole, looked, read = 0, 0, 0
        for step in range(part.seen, part.seen + part.recipe.steps):
            epoch, offset = divmod(step, per_epoch)
            if plan[0] != epoch:
                plan = (epoch, examples.order(part.rows, size, seed, epoch))
            batch = plan[1][offset]
            tokens = int(lengths[batch].sum())
            whole += tokens
            if step % every == 0:
                looked += tokens
                rows = [part.rows[number] for number in batch]
                read += steps.step_tokens(rows, part.recipe.pass_tokens)
        total += whole * read / looked if looked else 0
    return round(total)


def _disk_bytes(patient: Patient) -> int:
    """Return what is written: the student, and checkpoints while the next one is written.

    With patience the best step's weights are kept beside.
    """
    trained = sum(p.numel() for p in checkpoints.trained(patient.model).values())
    delivered = 4 * checkpoint.count_parameters(patient.begin.path)
    recipe = patient.recipe
    has_any = bool(recipe.checkpoint_every or recipe.patience)
    best = 4 * trained if recipe.patience else 0
    return delivered + best + (2 * 4 * trained * (1 + _MOMENTS) if has_any else 0)


def _peak_mb() -> float:
    """Return the most that this process has held, which is what a training holds."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
