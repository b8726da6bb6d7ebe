"""Score an artefact on tasks: its own runtime answers, the sandbox judges, side by side.

An answer goes to the sandbox as soon as it ends, while the others are still being written. What is
finished is kept in `scratch`, so that a killed scoring repeats no finished answer.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from potstill import progress, runtime, tasks
from potstill.errors import MissingPackageError
from potstill.evaluate import answers
from potstill.evaluate.grader import Grader, Judge, Row
from potstill.evaluate.methods import METHODS
from potstill.models.chat import ChatTokenizer, Message
from potstill.runtime import Answer, Request, Runtime, Samples, Sampling, artifact
from potstill.sandbox import Mode
from potstill.tasks import TASKS, Problem, UnavailableError, Where
from potstill.tasks.problem import draw, list_sha256

# A cap leaves half as much again as nearly every reference solution has, with its fence.
REFERENCE_SHARE, MARGIN = 0.99, 1.5

Prompted = tuple[tuple[int, ...], int]  # a prompt's ids, and the number of the sample


class Settings(Samples):
    """How artefacts are scored, whatever the task."""

    sources: dict[str, str]  # task -> the file that holds it; see `potstill.tasks.where.Where`
    split: Literal["validation", "test"]  # choices read validation, reports read test
    max_tokens: dict[str, Annotated[int, Field(ge=1)]]  # task -> cap; by the references elsewhere
    context: Annotated[int, Field(ge=64)]  # tokens of prompt and answer
    policy: str  # subset policy
    cpu_s: Annotated[float, Field(gt=0)]  # of one execution
    sandbox: Mode  # minimum: Landlock or mounts, seccomp and limits; all: every layer
    threads: Annotated[int, Field(ge=1)]
    seed: int

    @model_validator(mode="after")
    def _tasks_are_known(self) -> Self:
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
        answered: what the artefact said so far: tasks share problems.
    """

    runtime: Runtime
    tokenizer: ChatTokenizer
    cap: int
    how: Settings
    grader: Grader
    where: Where
    answered: dict[Prompted, Answer]

    def request(self, messages: Sequence[Message], sample: int) -> Request:
        """Return what the runtime is asked: these messages, by the settings' sampling."""
        return Request(
            self.tokenizer.encode(self.tokenizer.render(messages)),
            self.cap,
            sampling=Sampling(temperature=self.how.temperature, seed=self.how.seed),
            sample=sample,
            until=answers.decided,
        )

    def known(self, request: Request) -> Answer | None:
        """Return the answer to the same prompt in another task, if its cap would not cut it."""
        found = self.answered.get(prompted(request))
        if found is None or found.finish == "length" or len(found.ids) > request.max_tokens:
            return None
        return found


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


def find(names: Iterable[str], where: Where) -> dict[str, list[Problem] | str]:
    """Return the problems of each task, or why it cannot be tried here.

    Raises:
        InputError: an unknown task, or data that is not what it should be.
    """
    found: dict[str, list[Problem] | str] = {}
    for name in names:
        task = TASKS[name]
        if where.split not in task.SPLITS:
            found[name] = f"{name} has no split {where.split}, only {', '.join(task.SPLITS)}"
            continue
        try:
            METHODS[task.METHOD]  # its packages are here
            found[name] = task.problems(where)
        except (UnavailableError, MissingPackageError) as error:
            found[name] = str(error)
    return found


def score_artefact(
    artefact: Path,
    asked: Mapping[str, int],
    found: Mapping[str, list[Problem] | str],
    how: Settings,
    where: Where,
    scratch: Path,
) -> Scores:
    """Load an artefact, with a context of at most its own, and let it solve tasks; see `score`."""
    context = min(how.context, artifact.read(artefact)["context"])
    how = how.model_copy(update={"context": context})
    with closing(runtime.load(artefact, threads=how.threads, context=context)) as model:
        return score(model, ChatTokenizer(artefact), asked, found, how, where, scratch=scratch)


def score(
    model: Runtime,
    tokenizer: ChatTokenizer,
    asked: Mapping[str, int],
    found: Mapping[str, list[Problem] | str],
    how: Settings,
    where: Where,
    *,
    scratch: Path | None = None,
) -> Scores:
    """Let the runtime solve tasks.

    Args:
        model: a loaded artefact.
        tokenizer: that of the artefact.
        asked: task -> how many of its problems, drawn by the seed; all if it has fewer.
        found: task -> its problems, or why it is not run; see `find`.
        how: the settings.
        where: what the problems were read from.
        scratch: a folder that survives a crash, of this artefact and these settings alone.

    Raises:
        InputError: a prompt longer than the context, or no sandbox.
    """
    scores = Scores()
    answered: dict[Prompted, Answer] = {}
    with Grader(scratch) as grader:
        for name, count in asked.items():
            problems = found[name]
            if isinstance(problems, str):
                scores.facts[name] = {"reason": problems}
                continue
            method = METHODS[TASKS[name].METHOD]
            try:
                cap = how.max_tokens.get(name) or cap_tokens(tokenizer, problems)
            except UnavailableError as error:
                scores.facts[name] = {"reason": str(error)}
                continue
            scores.facts[name] = {
                "method": TASKS[name].METHOD,
                "split": how.split,
                **({"max_tokens": cap} if "hit_limit" in method.FLAGS else {}),
                "list_sha256": list_sha256(problems),
                "problems": len(problems),
            }
            desk = Desk(model, tokenizer, cap, how, grader, where, answered)
            try:
                scores.rows += method.rows(desk, draw(problems, count, how.seed))
            except UnavailableError as error:
                scores.facts[name] = {"reason": str(error)}
    return scores


def cap_tokens(tokenizer: ChatTokenizer, problems: Sequence[Problem]) -> int:
    """Return the most tokens of an answer: MARGIN times the references' 99th percentile."""
    references = [f"```\n{item.reference}\n```" for item in problems if item.reference]
    if not references:
        raise UnavailableError("no problem has a reference: set scoring.max_tokens of the task")
    lengths = [len(tokenizer.encode(reference)) for reference in references]
    return math.ceil(MARGIN * float(np.quantile(lengths, REFERENCE_SHARE)))


def prompted(request: Request) -> Prompted:
    """Return what two requests for one answer of one artefact share."""
    return tuple(request.prompt), request.sample


def ask(desk: Desk, problems: Sequence[Problem], judge: Judge) -> list[Row]:
    """Let the artefact answer what has no row yet, each prompt once a sample; return all rows.

    Raises:
        UnavailableError: a prompt leaves no room for an answer; nothing was asked then.
    """
    wanted = [(problem, sample) for problem in problems for sample in range(desk.how.samples)]
    open_ = [item for item in wanted if not desk.grader.has(*item)]
    requests = [desk.request(problem.messages, sample) for problem, sample in open_]
    for (problem, _), request in zip(open_, requests, strict=True):
        if len(request.prompt) >= desk.how.context:
            raise UnavailableError(
                f"{problem.id} asks with {len(request.prompt)} tokens, and the context of prompt "
                f"and answer is {desk.how.context}: raise scoring.context, where the model has more"
            )
    places: dict[Prompted, list[int]] = {}  # one prompt may be that of several problems
    for place, request in enumerate(requests):
        places.setdefault(prompted(request), []).append(place)
    with working(wanted, len(open_)) as finished:

        def take(key: Prompted, answer: Answer) -> None:
            for place in places[key]:
                desk.grader.take(*open_[place], answer, judge)
                finished()

        asked = []
        for key, (first, *_) in places.items():
            if (known := desk.known(requests[first])) is not None:
                take(key, known)
            else:
                asked.append(requests[first])

        def done(number: int, answer: Answer) -> None:
            key = prompted(asked[number])
            desk.answered[key] = answer
            take(key, answer)

        if asked:
            desk.runtime.generate(asked, done=done)
    return desk.grader.rows(wanted)


@contextmanager
def working(wanted: Sequence[tuple[Problem, int]], num_open: int) -> Iterator[Callable[[], None]]:
    """Show a bar and yield what is called whenever one of the open ones is finished."""
    with progress.bar() as bar:
        name = wanted[0][0].task if wanted else ""
        work = bar.add_task(name, total=len(wanted), completed=len(wanted) - num_open, info="")
        yield lambda: bar.update(work, advance=1, refresh=True)
