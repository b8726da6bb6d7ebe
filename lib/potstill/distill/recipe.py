"""The settings of a training; reading them needs no torch."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from potstill.distill.objectives import OBJECTIVES
from potstill.errors import InputError
from potstill.models.families import FAMILIES
from potstill.models.formats import Format, Origin
from potstill.params import Section, closest
from potstill.subset.policy import load as load_policy
from potstill.tokens.folds import FOLDS, Fold

Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]
Pair = Annotated[list[Positive], Field(min_length=2, max_length=2)]


class _Adapter(Section):
    targets: list[str] | None = None  # matrices of each layer; None: all of the family

    @field_validator("targets")
    @classmethod
    def _known(cls, names: list[str] | None) -> list[str] | None:
        known = {name for family in FAMILIES.values() for name in family.lora_targets}
        for name in names or ():
            if name not in known:
                raise ValueError(f"no family has {name!r}; {closest(name, known)}")
        return names


class LowRank(_Adapter):
    """Low-rank matrices beside frozen weights (LoRA)."""

    kind: Literal["lora"]
    r: Positive  # rank: columns of the small matrices
    alpha: Annotated[float, Field(gt=0)]  # what they add is scaled by alpha / r
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0  # of what goes into them
    targets: Annotated[list[str], Field(min_length=1)] | None = None


class Vectors(_Adapter):
    """Norms, biases and a factor of each row of the targets (none where `targets` is empty)."""

    kind: Literal["vectors"]


class Scales(_Adapter):
    """Norms, biases and the scales of a start's GGUF blocks, whose codes stay."""

    kind: Literal["scales"]


Adapter = Annotated[LowRank | Vectors | Scales, Field(discriminator="kind")]


class Chosen(Section):
    """Which rows a phase takes: those of these origins and formats; None is any."""

    origin: Annotated[list[Origin], Field(min_length=1)] | None = None
    format: Annotated[list[Format], Field(min_length=1)] | None = None
    teacher: list[str] | None = None  # of the rows that a teacher wrote: theirs alone, by name

    def wanted(self) -> dict[str, list[str]]:
        """Return the texts that are wanted, by name."""
        found = {name: texts for name, texts in self if texts is not None}
        return found | ({"teacher": ["", *self.teacher]} if self.teacher is not None else {})


class Phase(Section):
    """A part of a training with rows and a rate of its own."""

    steps: Positive
    learning_rate: Annotated[float, Field(gt=0)] | None = None  # its peak; None: the training's
    warmup_steps: Positive | None = None  # None: the training's
    rows: Chosen = Chosen()


class Inside(Section):
    """Answers that are looked at while a model is trained."""

    rows: Positive  # of validation that ask for code, each answered greedily
    policy: str = "edgecoder"  # what the code is checked against

    @field_validator("policy")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            load_policy(name)
        except InputError as error:
            raise ValueError(str(error)) from None
        return name


class Qat(Section):
    """Training with weights as an export rounds them (quantisation-aware), see `distill.qat`."""

    quantisation: Literal["int8_channel"]  # of `export.onnx`
    # Share of the steps after which it begins; the last step has it always
    after: Annotated[float, Field(ge=0, lt=1)] = 0.8
    rate: Annotated[float, Field(gt=0)] = 0.1  # of the learning rate, from there on
    # Least cosine of a layer's outputs to those with float weights; the training ends below it.
    min_cosine: Annotated[float, Field(ge=0, lt=1)] = 0.999


class Training(Section):
    """How a model is trained on the labels of the data set: `training` with `adapt_teacher`."""

    steps: NotNegative  # optimiser steps; 0 leaves the model as it starts
    batch_rows: Positive  # rows a step
    pass_tokens: Positive  # of one forward and backward pass; a step makes as many as it needs
    # Peak, then a cosine down to a tenth of it; None: by the number of weights that are trained.
    learning_rate: Annotated[float, Field(gt=0)] | None
    warmup_steps: Positive  # the rate grows linearly
    weight_decay: Annotated[float, Field(ge=0)]  # of matrices; norms and biases have none
    clip_norm: Annotated[float, Field(gt=0)]  # of the gradient
    evaluate_every: NotNegative  # steps between measurements on validation; 0: only at the end
    # So many of them without a lower loss after which training ends; the weights of the lowest are
    # delivered. None: all steps, the last weights.
    patience: Positive | None = None
    inside: Inside | None = None  # what else is measured there; None: nothing
    checkpoint_every: NotNegative  # steps between checkpoints; 0: none
    # of the rows of the training set: one half of its families, or both
    folds: Annotated[list[Fold], Field(min_length=1, default_factory=lambda: list(FOLDS))]
    max_rows: Positive  # of those rows, in their order
    chunk_tokens: Positive  # tokens whose logits exist at a time
    precision: Literal["auto", "float32", "bfloat16"]  # of matrix products
    threads: Positive  # of all processes together
    processes: Positive = 1  # that share weights, moments and the rows of a step; a GPU each
    seed: int
    gradient_checkpointing: bool = False  # compute layers twice instead of keeping what they made
    adapter: Adapter | None = None  # beside frozen weights; None trains all
    keep_zeros: bool = False  # a matrix's weights that are 0 at the start stay 0: `compress.sparse`
    # How far from the start to what was trained the delivered weights lie; 1: as trained
    interpolation: Annotated[float, Field(gt=0, le=1)] = 1.0
    qat: Qat | None = None  # the last part with rounded weights; None: float weights, none rounded
    # One after another, with one optimiser; each has its own warm-up and cosine.
    phases: Annotated[list[Phase], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _divided(self) -> Self:
        total = sum(phase.steps for phase in self.phases or ())
        if self.phases and self.steps not in (0, total):
            raise ValueError(f"steps is {self.steps}, those of the phases are {total} together")
        if self.phases and self.patience:
            raise ValueError(
                "patience might end the training in its first phase: leave one of the two out"
            )
        return self

    @model_validator(mode="after")
    def _kept(self) -> Self:
        if self.keep_zeros and self.adapter:
            raise ValueError(
                "an adapter is added to a matrix's zeros as well: leave one of the two out"
            )
        return self

    @model_validator(mode="after")
    def _rounded(self) -> Self:
        if self.qat and self.adapter:
            raise ValueError(
                "qat trains the weights that are rounded, and an adapter freezes them: leave one "
                "of the two out"
            )
        if self.qat and self.patience:
            raise ValueError(
                "patience might end the training before qat begins: leave one of the two out"
            )
        return self

    @model_validator(mode="after")
    def _measured(self) -> Self:
        if self.patience is not None and not self.evaluate_every:
            raise ValueError(
                "patience counts measurements between steps: set evaluate_every above 0, or "
                "patience to null"
            )
        return self


class Hidden(Section):
    """Some of the student's layers shall say what a live teacher's say, beside the objective."""

    weight: Annotated[float, Field(gt=0)]  # of the mean distance of a token, in the loss
    distance: Literal["cosine", "relative_mse"] = "cosine"
    # [the student's layer, the teacher's], from 1; None: all of the student's, spread evenly
    pairs: Annotated[list[Pair], Field(min_length=1)] | None = None
    # A linear map of each pair, trained with the student; auto: where their widths differ.
    projection: Literal["auto", "learned", "none"] = "auto"


class Preference(Section):
    """Pairs of answers to one prompt instead of rows: DPO (see `distill.preference`)."""

    beta: Annotated[float, Field(gt=0)] = 0.1  # how strongly the start holds the student


class Recipe(Training):
    """How one student is trained: one of `students`, with what all share from `training`."""

    start: str  # one of `starts`
    # signals/NAME or ensembles/NAME, below data/; `tokens`: the labels of the rows, no teacher
    signal: str
    alpha: Annotated[float, Field(ge=0, le=1)]  # weight of the labels; 1 does not read the logits
    objective: str = "forward_kl"  # one of OBJECTIVES: the divergence from the teacher
    temperature: Annotated[float, Field(gt=0)] = 1.0  # T of the divergence, on both sides
    beta: Annotated[float, Field(gt=0, lt=1)] = 0.5  # jensen_shannon: weight of the teacher
    margin: Annotated[float, Field(ge=0, lt=1)] | None = None  # by which a label leads at least
    preference: Preference | None = None  # None: the objective
    hidden: Hidden | None = None  # asks the teacher's layers too; None: its distributions alone

    @field_validator("objective")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in OBJECTIVES:
            raise ValueError(f"unknown objective; {closest(name, OBJECTIVES)}")
        return name

    @model_validator(mode="after")
    def _labels_alone(self) -> Self:
        if not OBJECTIVES.constant(self.objective, "SIGNALS") and self.alpha != 1:
            raise ValueError(
                f"objective {self.objective} asks no teacher: set alpha to 1, or take another"
            )
        return self

    @model_validator(mode="after")
    def _preferring(self) -> Self:
        if self.preference is None:
            return self
        if self.signal != "tokens" or self.alpha != 1:
            raise ValueError(
                "preference asks the executor's verdicts and no teacher: set signal to tokens and "
                "alpha to 1, or leave preference out"
            )
        if self.phases:
            raise ValueError("phases choose rows, and preference reads pairs: leave one out")
        return self

    @field_validator("signal")
    @classmethod
    def _a_signal(cls, name: str) -> str:
        if not re.fullmatch(r"tokens|(signals|ensembles)/[\w-]+", name):
            raise ValueError("allowed: signals/NAME, ensembles/NAME, or tokens for labels alone")
        return name

    @model_validator(mode="after")
    def _taught(self) -> Self:
        if self.signal == "tokens" and self.alpha != 1 and self.steps:
            raise ValueError(
                f"alpha is {self.alpha}, and `signal: tokens` has no teacher: name a signal, or "
                "set alpha to 1"
            )
        if self.hidden is not None and not self.signal.startswith("signals/"):
            raise ValueError(
                f"hidden asks the layers of one teacher that runs, and signal is {self.signal}: "
                "name a signal of codec live, or leave hidden out"
            )
        return self
