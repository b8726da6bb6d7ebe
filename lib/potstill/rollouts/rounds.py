"""The answers of a student, round after round: each is asked of the weights that it has by then.

A round serves `refresh_every` steps. It is on the disk before a step is made with it, so a training
that goes on after a kill reads the same answers as one that ran through.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from potstill import files
from potstill.distill import training
from potstill.loading.load import CausalLM
from potstill.rollouts.recipe import OnPolicy
from potstill.rollouts.tasks import Task
from potstill.rollouts.verdicts import Judge
from potstill.runtime import Answer, Request, Sampling
from potstill.tokens.examples import Example

Row = dict[str, Any]
Weights = Iterable[tuple[str, torch.Tensor]]


class Policy(Protocol):
    """What answers as the student: llama.cpp in this process, or a server."""

    def take(self, weights: Weights) -> None:
        """Answer from now on with these weights."""
        ...

    def answer(self, requests: Sequence[Request]) -> list[Answer]:
        """Return the answers in order, with the log-probability of each of their ids."""
        ...


@dataclass
class Rounds:
    """The rows of every step, made when they are needed; implements `training.Feed`.

    Attributes:
        tasks: what is asked.
        recipe: how.
        policy: what answers.
        current: what the weights are by now, of a model that is trained.
        judge: what the tests say.
        end_id: the token that ends an answer.
        knows_end: no other ends one, so that it is what was sampled and may be rewarded.
        folder: of the rounds, one JSONL file each: a row an answer, with step,
            sample, prompt and text as a person reads them, ids, log_probs (nats), finish, passed,
            inside.
    """

    tasks: Sequence[Task]
    recipe: OnPolicy
    policy: Policy
    current: Callable[[CausalLM], Weights]
    judge: Judge
    end_id: int
    knows_end: bool
    folder: Path
    _read: dict[int, list[Row]] = field(default_factory=dict)  # the last round that was read

    def rows(self, step: int, model: CausalLM) -> list[Example]:
        """Return the answers that a step is made with; a round that is not there is made."""
        number = step // self.recipe.refresh_every
        path = self._path(number)
        if not path.exists():
            self.policy.take(self.current(model))
            partial = files.partial_path(path)
            partial.parent.mkdir(parents=True, exist_ok=True)
            files.write_jsonl(partial, self._ask(number))
            files.publish(partial, path)
        return self._examples(self._answered(step))

    def columns(self, step: int) -> dict[str, float]:
        """Return of an answered step: mean tokens, and shares cut off, passed and inside."""
        rows = self._answered(step)
        shares = {
            "cut_share": [row["finish"] != "stop_id" for row in rows],
            "passed_share": [row["passed"] for row in rows],
            "accepted_share": [row["inside"] for row in rows],
        }
        length = sum(len(row["ids"]) for row in rows) / len(rows)
        found = {name: round(sum(values) / len(rows), 6) for name, values in shares.items()}
        return {"answer_length": round(length, 6), **found}

    def collect(self, out: Path, num_steps: int) -> None:
        """Write the answers of all steps into one JSONL file, without their ids."""
        num_rounds = -(-num_steps // self.recipe.refresh_every)
        hidden = ("prompt_ids", "ids", "log_probs")
        files.write_jsonl(
            out,
            (
                {name: value for name, value in row.items() if name not in hidden}
                for number in range(num_rounds)
                for row in files.read_jsonl(self._path(number))
            ),
        )

    def _answered(self, step: int) -> list[Row]:
        """Return the rows of a step whose round is there."""
        number = step // self.recipe.refresh_every
        if number not in self._read:
            self._read = {number: list(files.read_jsonl(self._path(number)))}
        return [row for row in self._read[number] if row["step"] == step + 1]

    def _path(self, number: int) -> Path:
        return self.folder / f"round-{number:06d}.jsonl"

    def _ask(self, number: int) -> list[Row]:
        """Return the rows of a round."""
        recipe, first = self.recipe, number * self.recipe.refresh_every
        each = {
            "batch_rows": recipe.batch_rows // recipe.samples,
            "steps": min(first + recipe.refresh_every, recipe.steps),
        }
        by_ids = {task.ids: task for task in self.tasks}
        prompts = [task.example() for task in self.tasks]
        asked = [
            (step, by_ids[prompt.ids], sample)
            for step, batch in enumerate(
                training.batches(prompts, recipe.model_copy(update=each), first), start=first + 1
            )
            for prompt in batch
            for sample in range(recipe.samples)
        ]
        answers = self.policy.answer([self._request(*one) for one in asked])
        verdicts = self.judge.verdicts([task for _, task, _ in asked], [a.text for a in answers])
        return [
            {
                "step": step,
                "sample": sample,
                "group": task.row["group"],
                "language": task.row["language"],
                "format": task.format,
                "prompt": task.messages[-1]["content"],
                "text": answer.text,
                "finish": answer.finish,
                "passed": verdict.passed,
                "inside": verdict.inside,
                "prompt_ids": task.ids,
                "ids": answer.ids,
                "log_probs": answer.logprobs,
            }
            for (step, task, sample), answer, verdict in zip(asked, answers, verdicts, strict=True)
        ]

    def _request(self, step: int, task: Task, sample: int) -> Request:
        recipe = self.recipe
        seed = int(files.row_id("rollout", str(recipe.seed), str(step)), 16)
        how = Sampling(temperature=recipe.sampling_temperature, top_p=recipe.top_p, seed=seed)
        return Request(task.ids, recipe.max_tokens, sampling=how, sample=sample, logprobs=0)

    def _examples(self, rows: Sequence[Row]) -> list[Example]:
        """Return a step's answers as rows: an answer that came to its end is taught to end."""
        rewards = dict[tuple[int, ...], list[float]]()
        for row in rows:
            own = rewards.setdefault(tuple(row["prompt_ids"]), [])
            own.append(float(row["passed"] and row["inside"]))
        found = []
        for row in rows:
            prompt, ended = tuple(row["prompt_ids"]), row["finish"] == "stop_id"
            ids = (*prompt, *row["ids"], *([self.end_id] if ended else []))
            others = rewards[prompt]
            found.append(
                Example(
                    ids,
                    ((len(prompt), len(ids), 1.0),),
                    row["group"],
                    row["language"],
                    format=row["format"],
                    log_probs=(
                        *row["log_probs"],
                        *([math.nan] if ended and self.knows_end else []),
                    ),
                    advantage=float(row["passed"] and row["inside"]) - sum(others) / len(others),
                )
            )
        return found
