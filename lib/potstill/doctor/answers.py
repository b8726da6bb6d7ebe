"""All looks at a training on the student's own answers: a few rounds of them are really asked."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from potstill.distill import training
from potstill.distill.start import Start
from potstill.doctor import prediction, steps, teacher
from potstill.doctor.finding import Finding, judged
from potstill.doctor.look import HELD_OUT, drawn
from potstill.doctor.patient import Patient
from potstill.errors import InputError
from potstill.loading import device
from potstill.rollouts import student
from potstill.rollouts.recipe import OnPolicy
from potstill.rollouts.rounds import Rounds
from potstill.tokens import packing, table
from potstill.tokens.examples import Example

ANSWERS = 64
MOST_CUT = 0.5  # share of answers that max_tokens may cut
MOST_STALE = 0.05  # nats a token by which those who answer may differ from who is trained


def look(
    name: str,
    recipe: OnPolicy,
    *,
    start: Path,
    signal: Path,
    curated: Path,
    tokens: Path,
    vocabulary: Path,
    scratch: Path,
) -> Iterator[Finding]:
    """Yield what is found, as it is found; nothing of the pipeline's is changed.

    Args:
        name: of the student.
        recipe: its settings.
        start: the checkpoint that it goes on from.
        signal: folder of a live signal, or of an ensemble of such.
        curated: folder with accepted.jsonl, whose tasks are asked.
        tokens: folder with validation.arrow and test.arrow.
        vocabulary: folder of the vocabulary that teacher and students share.
        scratch: a folder for answers, and for what is tokenised again.

    Raises:
        InputError: start or tokens cannot be read, or the student cannot answer.
    """
    if not recipe.steps:
        yield Finding("prompts", "not-run", "nothing is trained")
        return
    device.make_deterministic(recipe.seed, recipe.threads)
    started = time.perf_counter()
    try:
        loss = student.loss_of(recipe, start, signal, vocabulary)
    except InputError as error:
        yield Finding("signal", "fail", str(error))
        return
    assert loss.source is not None, "a student's own answers need a teacher"
    names = ", ".join(loss.source.names)
    yield Finding("signal", "pass", f"{names} was made for this tokenizer, and runs")
    begin = Start.of(start, recipe)
    try:
        rounds = student.rounds_of(recipe, begin, curated, scratch)
        loss.source.require([task.example() for task in rounds.tasks])
    except InputError as error:
        yield Finding("prompts", "fail", str(error))
        return
    asked = recipe.steps * recipe.batch_rows // recipe.samples
    words = f"there are {len(rounds.tasks)}, {asked} are asked"
    yield Finding("prompts", "pass", words, {"prompts": len(rounds.tasks), "asked": asked})
    chat, model = begin.chat(), begin.model()
    measured = {
        split: table.fit(tokens / f"{split}.arrow", chat, scratch / f"{split}.arrow")[0]
        for split in ("validation", "test")
    }
    loading_s = time.perf_counter() - started

    count = min(recipe.steps, -(-ANSWERS // recipe.batch_rows))
    started = time.perf_counter()
    batches = [rounds.rows(step, model) for step in range(count)]
    num_rounds = -(-count // recipe.refresh_every)
    a_round_s = (time.perf_counter() - started) / num_rounds
    patient = Patient(
        name=name,
        recipe=recipe,
        begin=begin,
        model=model,
        loss=loss,
        rows=[row for batch in batches for row in batch],
        heldout=drawn(measured["validation"], HELD_OUT, recipe.seed),
        measured=measured,
        scratch=scratch,
    )
    yield from (_length(rounds, count), _verdicts(rounds, count, patient.rows))
    yield from (_staleness(patient), teacher.divergence(patient))
    costs = steps.Costs([], [])
    yield steps.rate(patient, costs)
    each = [steps.step_tokens(batch, recipe.pass_tokens) for batch in batches]
    answers_s = a_round_s * -(-recipe.steps // recipe.refresh_every)
    yield prediction.predict(
        patient,
        costs,
        loading_s,
        step_tokens=recipe.steps * sum(each) // len(each),
        answers_s=answers_s,
    )


def _mean(rounds: Rounds, count: int, column: str) -> float:
    """Return the mean of what the history tells of the first steps."""
    return sum(rounds.columns(step)[column] for step in range(count)) / count


def _length(rounds: Rounds, count: int) -> Finding:
    """Count answers that were cut: they are taught no end, and their code is none."""
    cut, length = (_mean(rounds, count, name) for name in ("cut_share", "answer_length"))
    most = rounds.recipe.max_tokens
    return judged(
        "length",
        cut <= MOST_CUT,
        f"answers have {length:.0f} tokens, {cut:.0%} are cut at {most}",
        "raise rollouts.max_tokens, or go on from a student that was taught to come to an end",
        cut_share=cut,
        mean_tokens=length,
    )


def _verdicts(rounds: Rounds, count: int, answers: Sequence[Example]) -> Finding:
    """Count prompts of which some answers passed and some did not: the others give no reward."""
    recipe = rounds.recipe
    passed, inside = (_mean(rounds, count, name) for name in ("passed_share", "accepted_share"))
    numbers = {"passed_share": passed, "inside_share": inside}
    words = f"{passed:.0%} pass their tests, {inside:.0%} are inside {recipe.policy}"
    if not recipe.reward:
        return Finding("verdicts", "pass", f"{words}; reward is 0", numbers)
    # all answers to a prompt stand together
    first = answers[:: recipe.samples]
    differ = sum(
        any(row.advantage for row in answers[n : n + recipe.samples])
        for n in range(0, len(answers), recipe.samples)
    )
    return judged(
        "verdicts",
        differ > 0,
        f"{words}; the answers to {differ} of {len(first)} prompts differ in that",
        "the reward teaches nothing: raise samples, ask tasks that it solves now and then, or set "
        "reward to 0",
        **numbers,
        differing=differ,
    )


def _staleness(patient: Patient) -> Finding:
    """Hold the probabilities of those who answered against those of who is trained."""
    recipe = patient.recipe
    assert isinstance(recipe, OnPolicy)
    if recipe.sampling_temperature != 1 or recipe.top_p != 1:
        return Finding("staleness", "not-run", "known of answers at temperature 1 and top_p 1 only")
    assert patient.loss is not None
    total, tokens = 0.0, 0.0
    with torch.no_grad():
        for part in packing.passes(list(patient.rows), recipe.pass_tokens):
            sums = training.batch_loss(patient.model, part, patient.loss, patient.begin.dtype)
            stale = sums.columns().get("staleness")  # none where all answers are an end alone
            total += stale.item() if stale is not None else 0.0
            tokens += sum(row.num_answer_tokens for row in part)
    nats = total / tokens
    return judged(
        "staleness",
        abs(nats) <= MOST_STALE,
        f"those who answer differ by {nats:.4f} nats a token from who is trained",
        "another model answers: set rollouts.quantisation to auto, or see whether the server took "
        "the weights",
        nats=nats,
    )
