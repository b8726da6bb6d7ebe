"""Ask a back end for answers to prompts, and keep each as soon as it is there.

Answers are kept as they come, with the reason they ended; judging them is `curate`'s work.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from potstill import progress
from potstill.errors import InputError
from potstill.models import formats
from potstill.models.chat import Message
from potstill.sampling.kept import Kept

Row = dict[str, Any]


@dataclass(frozen=True)
class Prompt:
    """One answer that is wanted.

    Attributes:
        id: of the task.
        messages: what is asked.
        sample: number among several answers to one task: each draws anew.
        request: other words for the task than its own, None where it has these.
    """

    id: str
    messages: list[Message]
    sample: int = 0
    request: str | None = None


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        text: as it is.
        finish: "stop"; "length" where the limit cut it; "refused" where the endpoint will not
            answer this prompt, and the text says why.
        tokens: of prompt and answer, as the back end counts them; what an endpoint charges for.
    """

    text: str
    finish: str
    tokens: tuple[int, int] = (0, 0)

    @property
    def has_words(self) -> bool:
        """Say whether there is something to judge."""
        return bool(self.text.strip()) and self.finish != "refused"

    @property
    def complaint(self) -> str:
        """Return why there is not, in one line."""
        if self.finish == "refused":
            return " ".join(self.text.split()) or "refused without a word"
        if self.finish == "length":
            return "empty, cut at max_tokens: a reasoning model thinks within it, raise it"
        return "empty"


Done = Callable[[int, Answer], None]  # is given the place of a prompt, and its answer


class Backend(Protocol):
    """What answers prompts."""

    identity: str  # of whatever changes its answers: model, revision, template, sampling

    def estimate(self, prompts: Sequence[Prompt]) -> str:
        """Return in words what asking them takes."""
        ...

    def ask(self, prompts: Sequence[Prompt], done: Done) -> None:
        """Answer prompts, each told as soon as it ends, in any order.

        Raises:
            InputError: it cannot go on; what was told stays good.
        """
        ...


def prompts_of(tasks: Sequence[Row], samples: int) -> list[Prompt]:
    """Return the prompts of tasks: the first sample of all, then the next."""
    return [
        Prompt(row["id"], formats.code_prompt(row["task"], row["language"]), sample)
        for sample in range(samples)
        for row in tasks
    ]


def sample(prompts: Sequence[Prompt], backend: Backend, kept: Kept) -> list[Row]:
    """Return the answers in the order of the prompts; those kept from before are not asked again.

    Rows: id, sample, messages, text, finish, tokens; request where a prompt has one. Fewer than
    prompts where the back end ended before all were answered, as it does at the end of its budget.
    Refusals are kept beside an answer alone: where there is none the fault may be the server's, and
    they cost nothing.

    Args:
        prompts: what is asked, in the order in which a budget serves them.
        backend: answers them.
        kept: answers of this and earlier runs.

    Raises:
        InputError: no prompt is answered with a word, or the back end cannot go on: run again, and
            it goes on from here.
    """
    rows = more(prompts, backend, kept)
    if not rows:
        raise InputError("no prompt is answered: the budget does not pay the first, raise max_cost")
    if not _has_words(rows):
        raise InputError(
            f"none of {len(rows)} answers has a word, one: {_answer(rows[0]).complaint}"
        )
    return rows


def more(prompts: Sequence[Prompt], backend: Backend, kept: Kept) -> list[Row]:
    """Return what `sample` does of a back end that has answered others: there may be nothing."""
    if not prompts:
        return []
    keys = [kept.key(backend.identity, prompt.messages, prompt.sample) for prompt in prompts]
    found = {place: kept.get(key) for place, key in enumerate(keys)}
    if not _has_words(found.values()):
        found = {
            place: row if row and row["finish"] != "refused" else None
            for place, row in found.items()
        }
    open_ = [place for place, answer in found.items() if answer is None]
    asked = [prompts[place] for place in open_]
    refused = dict[str, Row]()
    about = f": {backend.estimate(asked)}" if asked else ""
    print(f"{len(prompts)} answers are wanted, {len(asked)} are asked for{about}")  # noqa: T201
    with progress.bar() as bar:
        work = bar.add_task("sample", total=len(asked), info="")

        def done(number: int, answer: Answer) -> None:
            row = {"text": answer.text, "finish": answer.finish, "tokens": list(answer.tokens)}
            found[open_[number]] = row
            if answer.finish == "refused":
                refused[keys[open_[number]]] = row
            else:
                kept.put(keys[open_[number]], row)
            bar.update(work, advance=1, refresh=True)

        try:
            if asked:
                backend.ask(asked, done)
        finally:
            if _has_words(found.values()):
                for key, row in refused.items():
                    kept.put(key, row)
    return [
        {**_asked(prompt), **made}
        for place, prompt in enumerate(prompts)
        if (made := found[place]) is not None
    ]


def _asked(prompt: Prompt) -> Row:
    row = {"id": prompt.id, "sample": prompt.sample, "messages": prompt.messages}
    return row if prompt.request is None else {**row, "request": prompt.request}


def _answer(row: Row) -> Answer:
    return Answer(row["text"], row["finish"])


def _has_words(rows: Iterable[Row | None]) -> bool:
    return any(row and _answer(row).has_words for row in rows)
