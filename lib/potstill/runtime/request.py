"""What is asked of a runtime, and what it answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from potstill.errors import InputError
from potstill.params import Section

# stop_id: an end token, which is not shown; stop_text: a text of `Request.stops`, or `until`;
# length: `max_tokens` were made; context: the runtime's context is full.
Finish = Literal["stop_id", "stop_text", "length", "context"]


class Sampling(Section):
    """How the next id is chosen; the default is greedy.

    The order is that of transformers: temperature, then top-k, then top-p.
    """

    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0  # 0: the likeliest id
    top_k: Annotated[int, Field(ge=0)] = 0  # only the k likeliest; 0: all
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0  # only the likeliest that make up this share
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0


class Samples(Section):
    """How many answers a prompt gets; a section that asks for several has these keys."""

    samples: Annotated[int, Field(ge=1)]
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)]  # 0 takes the likeliest id

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(
                f"samples is {self.samples} at temperature 0, where all are equal: raise "
                "temperature, or take one sample"
            )
        return self


@dataclass(frozen=True)
class Constraint:
    """What an answer's text must be; its `text` is a JSON schema, a Lark grammar or a regex."""

    kind: Literal["json_schema", "lark", "regex"]
    text: str


@dataclass(frozen=True)
class Request:
    """One prompt and what is wanted of its answer.

    Attributes:
        prompt: ids, all of them: nothing is added.
        max_tokens: most ids of the answer.
        sampling: how ids are chosen.
        sample: number among several answers to one prompt: each draws anew.
        stops: texts that end the answer and are not part of it; see `stops.Stops` for the rule.
        until: is shown the text so far after each id; true ends the answer, and cuts nothing off.
        logprobs: None for none, else how many of the likeliest ids are told at each position.
        constraint: what the text must be.

    Raises:
        InputError: a count below zero or an empty stop.
    """

    prompt: Sequence[int]
    max_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    sample: int = 0
    stops: Sequence[str] = ()
    until: Callable[[str], bool] | None = None
    logprobs: int | None = None
    constraint: Constraint | None = None

    def __post_init__(self) -> None:
        counts = {"max_tokens": self.max_tokens, "sample": self.sample}
        counts |= {} if self.logprobs is None else {"logprobs": self.logprobs}
        for name, value in counts.items():
            if value < 0:
                raise InputError(f"{name} is {value}: it must be 0 or more")
        if isinstance(self.stops, str) or "" in self.stops:
            raise InputError(f"stops are {self.stops!r}: give a list of texts, none of them empty")


@dataclass(frozen=True)
class Chunk:
    """One step of an answer as it is made.

    Attributes:
        id: the chosen id; None where the answer ends without another.
        text: what is certain by now and was not given before; may be empty.
        logprob: natural logarithm of the id's probability, if asked for; see `sampler.logprobs`.
        top: the likeliest ids with theirs, likeliest first, as many as were asked for.
        finish: why the answer ends here; None while it goes on.
    """

    id: int | None
    text: str
    logprob: float | None = None
    top: dict[int, float] = field(default_factory=dict)
    finish: Finish | None = None


@dataclass(frozen=True)
class Answer:
    """A whole answer.

    Attributes:
        ids: without the end token; up to the token in which a stop text ended.
        text: without special tokens, cut before a stop text.
        finish: why it ended.
        logprobs: of each id, nats, if asked for.
        top: at each position the likeliest ids with theirs, if asked for.
    """

    ids: list[int]
    text: str
    finish: Finish
    logprobs: list[float] = field(default_factory=list)
    top: list[dict[int, float]] = field(default_factory=list)


def collect(chunks: Sequence[Chunk]) -> Answer:
    """Join the chunks of an answer that ended."""
    finish = chunks[-1].finish
    assert finish is not None, f"{len(chunks)} chunks and no end"
    made = [chunk for chunk in chunks if chunk.id is not None]
    return Answer(
        ids=[chunk.id for chunk in made if chunk.id is not None],
        text="".join(chunk.text for chunk in chunks),
        finish=finish,
        logprobs=[chunk.logprob for chunk in made if chunk.logprob is not None],
        top=[chunk.top for chunk in made if chunk.top],
    )
