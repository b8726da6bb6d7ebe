"""Ask a back end for answers to prompts, and keep each as soon as it is there.

Answers are kept as they come, with the reason they ended; judging them is `curate`'s work.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from potstill import progress
from potstill.errors import InputError
from potstill.models import formats
from potstill.models.chat import Message
from potstill.sampling import draw
from potstill.sampling.kept import Kept

Row = dict[str, Any]


@dataclass(frozen=True)
class Prompt:
    """One answer that is wanted.

    Attributes:
        id: of the task.
        messages: what is asked.
        sample: number among several answers to one task: each draws anew.
    """

    id: str
    messages: list[Message]
    sample: int = 0


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


def prompts_of(
    tasks: list[Row], weights: Mapping[str, float], *, max_rows: int, samples: int, seed: int
) -> list[Prompt]:
    """Return the prompts of tasks drawn by weight: the first sample of all, then the next.

    Raises:
        InputError: there are no tasks.
    """
    if not tasks:
        raise InputError(
            "no training task is for any of sample_teacher.teachers: widen languages or levels"
        )
    chosen = draw.in_order(tasks, weights, seed)[:max_rows]
    return [
        Prompt(row["id"], formats.code_prompt(row["task"], row["language"]), sample)
        for sample in range(samples)
        for row in chosen
    ]


def summary(
    rows: Sequence[Row], num_wanted: int, max_length_share: float, cost: float
) -> dict[str, float]:
    """Return what is counted of answers; `not_asked` is what a budget left out.

    Raises:
        InputError: more answers than the share were cut by their limit.
    """
    share = sum(row["finish"] == "length" for row in rows) / len(rows)
    if share > max_length_share:
        raise InputError(
            f"{share:.0%} of the answers are cut at sample_teacher.max_tokens: raise it, or "
            "max_length_share"
        )
    tokens = (sum(row["tokens"][0] for row in rows), sum(row["tokens"][1] for row in rows))
    return {
        "answers": len(rows),
        "not_asked": num_wanted - len(rows),
        "refused": sum(row["finish"] == "refused" for row in rows),
        "prompt_tokens": tokens[0],
        "answer_tokens": tokens[1],
        "cost": cost,
        "hit_length_limit_share": share,
        **{f"answers_{name}": count for name, count in Counter(r["teacher"] for r in rows).items()},
    }


def sample(prompts: Sequence[Prompt], backend: Backend, kept: Kept) -> list[Row]:
    """Return the answers in the order of the prompts; those kept from before are not asked again.

    Rows: id, sample, messages, text, finish, tokens. Fewer than prompts where the back end ended
    before all were answered, as it does at the end of its budget. Refusals are kept beside an
    answer alone: where there is none the fault may be the server's, and they cost nothing.

    Args:
        prompts: what is asked, in the order in which a budget serves them.
        backend: answers them.
        kept: answers of this and earlier runs.

    Raises:
        InputError: no prompt is answered with a word, or the back end cannot go on: run again, and
            it goes on from here.
    """
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
    rows = [
        {"id": prompt.id, "sample": prompt.sample, "messages": prompt.messages, **made}
        for place, prompt in enumerate(prompts)
        if (made := found[place]) is not None
    ]
    if not rows:
        raise InputError("no prompt is answered: the budget does not pay the first, raise max_cost")
    if not _has_words(rows):
        raise InputError(
            f"none of {len(rows)} answers has a word, one: {_answer(rows[0]).complaint}"
        )
    return rows


def _answer(row: Row) -> Answer:
    return Answer(row["text"], row["finish"])


def _has_words(rows: Iterable[Row | None]) -> bool:
    return any(row and _answer(row).has_words for row in rows)
