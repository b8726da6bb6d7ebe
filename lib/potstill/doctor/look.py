"""All looks at one student's training, in the order in which a fault spoils the next."""

import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from potstill.distill import phases, student
from potstill.distill.recipe import Recipe
from potstill.distill.start import Start
from potstill.distill.training import Loss
from potstill.doctor import prediction, rows, steps, teacher
from potstill.doctor.finding import Finding
from potstill.doctor.patient import Patient
from potstill.errors import InputError
from potstill.loading import device
from potstill.tokens import examples, table
from potstill.tokens.examples import Example

ROWS, HELD_OUT = 64, 24


class _PhaseError(InputError):
    """A phase has no rows."""


def look(
    name: str, recipe: Recipe, *, start: Path, tokens: Path, signal: Path, scratch: Path
) -> Iterator[Finding]:
    """Yield what is found, as it is found; nothing of the pipeline's is changed.

    Args:
        name: of the student.
        recipe: its settings.
        start: the checkpoint that it begins as.
        tokens: folder with train.arrow and validation.arrow.
        signal: folder of its signal; for labels alone that of the tokens again.
        scratch: a folder for what is tokenised again.

    Raises:
        InputError: start or tokens cannot be read.
    """
    device.make_deterministic(recipe.seed, recipe.threads)
    started = time.perf_counter()
    try:
        patient = _patient(name, recipe, start, tokens, signal, scratch)
    except _PhaseError as error:
        yield Finding("rows", "fail", str(error))
        return
    loading_s = time.perf_counter() - started
    if recipe.preference:
        yield Finding("rows", "not-run", "pairs of answers are not looked at")
        return
    stored = table.Table(tokens / "train.arrow")
    yield from (rows.ids(patient, stored), rows.mask(patient, stored), rows.end(patient))
    asked = teacher.signal(patient)
    yield asked
    if asked.verdict == "fail":
        return  # nothing more can be done with these rows
    if patient.is_taught:
        yield from (
            teacher.shift(patient),
            teacher.divergence(patient),
            *teacher.kept_mass(patient),
            teacher.better(patient),
            steps.gradient(patient),
        )
    costs = steps.Costs([], [])
    yield steps.rate(patient, costs)
    yield prediction.predict(patient, costs, loading_s)


def _patient(
    name: str, recipe: Recipe, start: Path, tokens: Path, signal: Path, scratch: Path
) -> Patient:
    begin = Start.of(start, recipe)
    chat = begin.chat()
    splits = ("train", "validation", "test")
    found = {
        split: table.fit(tokens / f"{split}.arrow", chat, scratch / f"{split}.arrow")[0]
        for split in splits
    }
    every = found.pop("train").of_folds(recipe.folds)[: recipe.max_rows]
    try:
        parts = phases.parts(recipe, every)
    except InputError as error:
        raise _PhaseError(str(error)) from None
    loss: Loss | None = None
    complaint = ""
    try:
        loss = student.distillation_loss(recipe, start, signal)
    except InputError as error:
        complaint = str(error)
    model = begin.model()
    if recipe.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return Patient(
        name=name,
        recipe=recipe,
        begin=begin,
        model=model,
        loss=loss,
        complaint=complaint,
        rows=[row for part in parts for row in drawn(part.rows, ROWS // len(parts), recipe.seed)],
        all_rows=every,
        parts=parts,
        heldout=drawn(found["validation"], HELD_OUT, recipe.seed),
        measured=found,
        scratch=scratch,
    )


def drawn(found: Sequence[Example], count: int, seed: int) -> list[Example]:
    """Return a few rows, drawn without return."""
    numbers = itertools.chain.from_iterable(examples.order(found, 1, seed, 0))
    return [found[number] for number in itertools.islice(numbers, count)]
