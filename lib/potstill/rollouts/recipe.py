"""The settings of a student that is taught on its own answers; reading them needs no torch."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from potstill.distill.objectives import OBJECTIVES
from potstill.distill.recipe import Training
from potstill.rollouts.endpoint import Endpoint
from potstill.sandbox import Mode

Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]
Language = Literal["python", "javascript"]


class Served(Endpoint):
    """A teacher at an endpoint that tells the log-probabilities of a given text."""

    top: Positive = 20  # most probable ids of each position; the rest is one
    languages: list[Language] | None = None  # of the tasks that it teaches; None: all others


class Server(Endpoint):
    """An endpoint that answers as the student, and takes its weights when they have changed."""

    folder: str  # the weights are written to its folder `student`; a path that both sides see


class OnPolicy(Training):
    """One of `on_policy`, with what all share from `training` and `rollouts`."""

    model: str  # what it goes on from: folder below models/, such as students/kd
    signal: str  # signals/NAME of codec live, ensembles/NAME of such; `tokens`: `served` teaches
    served: Annotated[list[Served], Field(min_length=1)] | None = None
    objective: str  # the divergence from the teacher, over the student's own text
    temperature: Annotated[float, Field(gt=0)]  # T of the divergence, on both sides
    beta: Annotated[float, Field(gt=0, lt=1)] = 0.5  # jensen_shannon: weight of the teacher
    # Weight of the verdicts beside the divergence: the log-probability of an answer times what it
    # is better than the mean of its prompt's answers
    reward: Annotated[float, Field(ge=0)]
    samples: Positive  # answers to each prompt, all in one step
    formats: Annotated[list[Literal["code", "complete"]], Field(min_length=1)]  # ways of asking
    max_tokens: Positive  # of an answer
    sampling_temperature: Seconds
    top_p: Annotated[float, Field(gt=0, le=1)]
    refresh_every: Positive  # steps that the answers of one state of the weights serve
    max_mined: Annotated[int, Field(ge=0)]  # mined functions that are asked for too
    # Of the weights that answer in llama.cpp; auto: bf16 where the hardware has it, else f16
    quantisation: Literal["auto", "bf16", "f16", "q8_0"]
    policy: str  # subset policy
    cpu_s: Seconds  # of one execution
    sandbox: Mode
    workers: Positive  # programs at a time
    server: Server | None = None  # answers instead of llama.cpp in this process

    @field_validator("objective")
    @classmethod
    def _asks_a_teacher(cls, name: str) -> str:
        able = [one for one in OBJECTIVES if OBJECTIVES.constant(one, "SIGNALS")]
        if name not in able:
            raise ValueError(f"a student's own answers need a teacher: {', '.join(able)}")
        return name

    @model_validator(mode="after")
    def _taught(self) -> Self:
        if (self.signal == "tokens") == (self.served is None):
            raise ValueError(
                "one teacher is needed: name a live signal, or set signal to tokens and give served"
            )
        spoken = [name for one in self.served or () for name in (one.languages or ("",))]
        twice = sorted({name for name in spoken if spoken.count(name) > 1})
        if twice:
            said = f"languages: {twice[0]}" if twice[0] else "no languages"
            raise ValueError(f"two of served have {said}: a row has one teacher")
        if self.server and self.server.kind == "sglang" and self.sampling_temperature != 1:
            raise ValueError(
                "SGLang tells log-probabilities after the temperature: set sampling_temperature to "
                "1, or serve the student with vLLM"
            )
        if self.reward and self.samples == 1:
            raise ValueError("reward compares the answers to one prompt: raise samples")
        if self.batch_rows % self.samples:
            raise ValueError(
                f"batch_rows is {self.batch_rows}, no multiple of samples ({self.samples}): all "
                "answers to a prompt go into one step"
            )
        if self.phases or self.patience:
            raise ValueError("phases and patience are for rows that are there before: leave them")
        if self.qat:
            raise ValueError(
                "what answers is rounded in its own way: leave qat out, and train another student "
                "with it that starts from this one"
            )
        if self.processes > 1:
            raise ValueError("one process trains on its own answers: set processes to 1")
        return self
