"""Score an artefact on tasks: its own runtime answers, the sandbox judges, side by side.

An answer goes to the sandbox as soon as it ends, while the others are still being written. What is
finished is kept in `scratch`, so that a killed scoring repeats no finished answer.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from potstill import progress, tasks
from potstill.errors import MissingPackageError
from potstill.evaluate import answers
from potstill.evaluate.grader import Grader, Judge, Row
from potstill.evaluate.methods import METHODS
from potstill.models.chat import ChatTokenizer, Message
from potstill.params import Section
from potstill.runtime import Answer, Request, Runtime, Sampling
from potstill.sandbox import Mode
from potstill.tasks import TASKS, Problem, UnavailableError, Where, asking
from potstill.tasks.problem import draw, list_sha256

# A cap leaves half as much again as nearly every reference solution has, with its fence.
REFERENCE_SHARE, MARGIN = 0.99, 1.5


class Settings(Section):
    """How artefacts are scored, whatever the task."""

    sources: dict[str, str]  # task -> the file that holds it; see `potstill.tasks.where.Where`
    split: Literal["validation", "test"]  # choices read validation, reports read test
    samples: Annotated[int, Field(ge=1)]  # answers to each problem
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)]  # 0: greedy
    max_tokens: dict[str, Annotated[int, Field(ge=1)]]  # task -> cap; by the references elsewhere
    context: Annotated[int, Field(ge=64)]  # tokens of prompt and answer
    policy: str  # subset policy
    cpu_s: Annotated[float, Field(gt=0)]  # of one execution
    sandbox: Mode  # minimum: Landlock or mounts, seccomp and limits; all: every layer
    threads: Annotated[int, Field(ge=1)]
    seed: int

    @model_validator(mode="after")
    def _samples_differ(self) -> Self:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(
                f"samples is {self.samples} at temperature 0, where all are equal: raise "
                "temperature, or take one sample"
            )
        tasks.check_names([*self.sources, *self.max_tokens])
        return self


@dataclass(frozen=True)
class Desk:
    """What a method works with.

    Attributes:
        runtime: the loaded artefact.
        tokenizer: that of the artefact.
        cap: most tokens of an answer.
        how: the settings.
        grader: keeps what is finished.
        where: what the problems were read from.
    """

    runtime: Runtime
    tokenizer: ChatTokenizer
    cap: int
    how: Settings
    grader: Grader
    where: Where

    def request(self, messages: Sequence[Message], sample: int) -> Request:
        """Return what the runtime is asked: these messages, by the settings' sampling."""
        return Request(
            self.tokenizer.encode(self.tokenizer.render(messages)),
            self.cap,
            sampling=Sampling(temperature=self.how.temperature, seed=self.how.seed),
            sample=sample,
            until=answers.decided,
        )


@dataclass
class Scores:
    """What came out.

    Attributes:
        rows: one an answer, by task, problem and sample; see the methods.
        facts: task -> what is known of it besides: method, split, max_tokens, list_sha256, and how
            many problems the list has; or the reason why it was not run.
    """

    rows: list[Row] = field(default_factory=list)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)


def score(
    runtime: Runtime,
    tokenizer: ChatTokenizer,
    asked: Mapping[str, int],
    how: Settings,
    *,
    prompts: Path | None = None,
    teacher: Path | None = None,
    scratch: Path | None = None,
    messages: Sequence[Message] = (),
) -> Scores:
    """Let the runtime solve tasks.

    Args:
        runtime: a loaded artefact.
        tokenizer: that of the artefact.
        asked: task -> how many of its problems, drawn by the seed; all if it has fewer.
        how: the settings.
        prompts: what `collect_prompts` wrote, for the tasks that are made of it.
        teacher: the file of `record_reference` with the teacher's distributions.
        scratch: a folder that survives a crash, of this artefact and these settings alone.
        messages: what problems are asked in instead of their task's own; see `tasks.asking`.

    Raises:
        InputError: an unknown task, data that is not what it should be, a prompt longer than the
            context, or no sandbox.
    """
    where = Where(how.sources, prompts, teacher, how.split, how.policy)
    scores = Scores()
    with Grader(scratch) as grader:
        for name, count in asked.items():
            try:
                method = METHODS[TASKS[name].METHOD]
                found = _problems(name, where)
                found = asking.put(found, messages) if messages else found
                cap = how.max_tokens.get(name) or cap_tokens(tokenizer, found)
            except (UnavailableError, MissingPackageError) as error:
                scores.facts[name] = {"reason": str(error)}
                continue
            scores.facts[name] = {
                "method": TASKS[name].METHOD,
                "split": how.split,
                **({"max_tokens": cap} if "hit_limit" in method.FLAGS else {}),
                "list_sha256": list_sha256(found),
                "problems": len(found),
            }
            desk = Desk(runtime, tokenizer, cap, how, grader, where)
            scores.rows += method.rows(desk, draw(found, count, how.seed))
    return scores


def _problems(name: str, where: Where) -> list[Problem]:
    task = TASKS[name]
    if where.split not in task.SPLITS:
        raise UnavailableError(f"{name} has no split {where.split}, only {', '.join(task.SPLITS)}")
    return task.problems(where)


def cap_tokens(tokenizer: ChatTokenizer, problems: Sequence[Problem]) -> int:
    """Return the most tokens of an answer: MARGIN times the references' 99th percentile."""
    references = [f"```\n{item.reference}\n```" for item in problems if item.reference]
    if not references:
        raise UnavailableError("no problem has a reference: set scoring.max_tokens of the task")
    lengths = [len(tokenizer.encode(reference)) for reference in references]
    return math.ceil(MARGIN * float(np.quantile(lengths, REFERENCE_SHARE)))


def ask(desk: Desk, problems: Sequence[Problem], judge: Judge) -> list[Row]:
    """Let the artefact answer what has no row yet, each once a sample; return the rows of all."""
    wanted = [(problem, sample) for problem in problems for sample in range(desk.how.samples)]
    open_ = [item for item in wanted if not desk.grader.has(*item)]
    requests = [desk.request(problem.messages, sample) for problem, sample in open_]
    with working(wanted, len(open_)) as finished:

        def done(place: int, answer: Answer) -> None:
            desk.grader.take(*open_[place], answer, judge)
            finished()

        if requests:
            desk.runtime.generate(requests, done=done)
    return desk.grader.rows(wanted)


@contextmanager
def working(wanted: Sequence[tuple[Problem, int]], num_open: int) -> Iterator[Callable[[], None]]:
    """Show a bar and yield what is called whenever one of the open ones is finished."""
    with progress.bar() as bar:
        name = wanted[0][0].task if wanted else ""
        work = bar.add_task(name, total=len(wanted), completed=len(wanted) - num_open, info="")
        yield lambda: bar.update(work, advance=1, refresh=True)
