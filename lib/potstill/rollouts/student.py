"""Train a student on its own answers: what the stage `distill_on_policy` does.

Source: Agarwal et al. 2024 (GKD, arXiv:2306.13649), with lambda = 1; Lu et al. 2025, "On-Policy
Distillation" (thinkingmachines.ai), for the reverse divergence on every token of the student's own
text.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from potstill.distill import student, training
from potstill.distill.objective import Objective
from potstill.distill.start import Start
from potstill.errors import InputError
from potstill.loading import device
from potstill.logits import source
from potstill.logits.ensemble import Ensemble
from potstill.logits.routed import Routed
from potstill.logits.store import LogitStore
from potstill.models import checkpoint, formats
from potstill.models.chat import ChatTokenizer
from potstill.rollouts import tasks
from potstill.rollouts.policy import LlamaPolicy
from potstill.rollouts.recipe import OnPolicy, Served
from potstill.rollouts.rounds import Policy, Rounds
from potstill.rollouts.served import ServedTeacher
from potstill.rollouts.server import ServerPolicy
from potstill.rollouts.verdicts import Judge
from potstill.tokens import spans
from potstill.tokens.examples import Example
from potstill.vocabulary import trimming


def distil(  # noqa: PLR0913 - what is read, and what is written
    recipe: OnPolicy,
    *,
    start: Path,
    signal: Path,
    curated: Path,
    tokens: Path,
    vocabulary: Path,
    out: Path,
    measures_out: Path,
    scratch: Path,
) -> dict[str, float | str]:
    """Train a student on its own answers; return the summary, and the names of its signals.

    Args:
        recipe: its settings.
        start: the checkpoint that it goes on from.
        signal: folder of a live signal, or of an ensemble of such.
        curated: folder with accepted.jsonl, whose tasks are asked.
        tokens: folder with validation.arrow and test.arrow, on which it is measured.
        vocabulary: folder of the vocabulary that teacher and students share.
        out: the checkpoint to write.
        measures_out: folder to make: what `distill.student.train` writes, and rollouts.jsonl.
        scratch: folder for checkpoints and rounds.

    Raises:
        InputError: the signal is of another tokenizer or stored, no task is left, or see
            `distill.student.train`.
    """
    loss = loss_of(recipe, start, signal, vocabulary)
    rolled: list[Rounds] = []

    def roll(begin: Start, scratch: Path) -> tuple[list[Example], Rounds]:
        rolled.append(rounds_of(recipe, begin, curated, scratch))
        return [task.example() for task in rolled[0].tasks], rolled[0]

    measured = student.train(
        recipe,
        loss,
        roll,
        start=start,
        tokens=tokens,
        out=out,
        measures_out=measures_out,
        scratch=scratch,
    )
    rolled[0].collect(measures_out / "rollouts.jsonl", recipe.steps)
    assert loss.source is not None, "a student's own answers need a teacher"
    return {"signals": ",".join(loss.source.names), **measured}


def loss_of(recipe: OnPolicy, start: Path, signal: Path, vocabulary: Path) -> training.Loss:
    """Return the loss over a student's own answers, its teacher loaded; for the paths see `distil`.

    Raises:
        InputError: the signal is of another tokenizer or stored, or tells too little for the
            objective.
    """
    teacher = _teacher(recipe, start, signal, vocabulary)
    objective = Objective(
        recipe.objective,
        alpha=0.0,
        temperature=recipe.temperature,
        beta=recipe.beta,
        chunk_tokens=recipe.chunk_tokens,
    )
    objective.check(teacher.signal)
    return training.Loss(objective, teacher, reward=recipe.reward)


def _teacher(recipe: OnPolicy, start: Path, signal: Path, vocabulary: Path) -> source.Source:
    if recipe.served is not None:
        return _served(recipe.served, start, vocabulary)
    place = device.pick_device()
    teacher = source.open_source(signal, device.compute_dtype(recipe.precision, place), place)
    if isinstance(teacher, LogitStore | Ensemble):
        raise InputError(
            f"{signal} is stored, and says nothing of a text that a student has yet to write: "
            "name a signal of codec live"
        )
    teacher.check(ChatTokenizer(start).hashes())
    return teacher


def _served(served: Sequence[Served], start: Path, vocabulary: Path) -> source.Source:
    """Return the teachers at endpoints; of a trimmed vocabulary they are asked in their own ids."""
    kept = trimming.shared_ids(vocabulary, start)
    teachers = [ServedTeacher(one, one.top, kept) for one in served]
    languages: dict[str, int] = {
        name: n for n, one in enumerate(served) for name in one.languages or ()
    }
    others = [n for n, one in enumerate(served) if one.languages is None]
    return Routed(teachers, languages, others[0] if others else None)


def policy_of(recipe: OnPolicy, start: Path, folder: Path, context: int) -> Policy:
    """Return what answers as the student, which begins as `start`."""
    if recipe.server is not None:
        return ServerPolicy(recipe.server, start)
    held = recipe.quantisation
    if held == "auto":
        multiplies = device.compute_dtype("auto", torch.device("cpu")) == torch.bfloat16
        held = "bf16" if multiplies else "f16"
    policy = LlamaPolicy(
        start,
        folder,
        quantisation=held,
        threads=recipe.threads,
        context=context,
    )
    policy.check(checkpoint.tensors(start))
    return policy


def rounds_of(recipe: OnPolicy, begin: Start, curated: Path, scratch: Path) -> Rounds:
    """Return the rounds of answers of a student that begins so; for the folders see `distil`.

    Raises:
        InputError: no task is left, or the student cannot answer.
    """
    chat = begin.chat()
    asked = tasks.read(
        curated / "accepted.jsonl", recipe.formats, recipe.folds, recipe.max_mined, chat
    )
    asked = asked[: recipe.max_rows]
    longest = max(len(task.ids) for task in asked) + recipe.max_tokens
    return Rounds(
        tasks=asked,
        recipe=recipe,
        policy=policy_of(recipe, begin.path, scratch / "policy", longest),
        current=begin.current,
        judge=Judge(recipe.policy, recipe.cpu_s, recipe.sandbox, recipe.workers),
        end_id=end_id(chat),
        knows_end=len(chat.stop_ids) == 1,
        folder=scratch / "rounds",
    )


def end_id(chat: ChatTokenizer) -> int:
    """Return the id that the template ends an answer with."""
    row = {"messages": formats.answered(formats.code_prompt("x", "python"), "x")}
    ids, places = spans.tokenise(chat, row)
    return ids[places[-1][1] - 1]
