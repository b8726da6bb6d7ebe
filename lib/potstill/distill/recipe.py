"""The settings of a training; reading them needs no torch."""

from typing import Annotated, Literal

from pydantic import Field

from potstill.params import Section

Positive = Annotated[int, Field(ge=1)]
NotNegative = Annotated[int, Field(ge=0)]


class Training(Section):
    """How a model is trained on the labels of the data set: `training` with `adapt_teacher`."""

    steps: NotNegative  # optimiser steps; 0 leaves the model as it starts
    batch_rows: Positive  # rows a forward pass
    accumulate: Positive  # forward passes a step
    learning_rate: Annotated[float, Field(gt=0)]  # peak; then a cosine down to a tenth of it
    warmup_steps: Positive  # the rate grows linearly
    weight_decay: Annotated[float, Field(ge=0)]
    clip_norm: Annotated[float, Field(gt=0)]  # of the gradient
    evaluate_every: NotNegative  # steps between held-out measurements; 0: only at the end
    checkpoint_every: NotNegative  # steps between checkpoints; 0: none
    max_length: Annotated[int, Field(ge=2)]  # tokens; longer rows are left out
    max_rows: Positive  # rows of the training set
    chunk_tokens: Positive  # tokens whose logits exist at a time
    precision: Literal["auto", "float32", "bfloat16"]  # of matrix products
    threads: Positive
    seed: int


class Recipe(Training):
    """How one student is trained: one of `students`, with what all share from `training`."""

    start: str  # one of `starts`
    alpha: Annotated[float, Field(ge=0, le=1)]  # weight of the labels; 1 does not read the logits
    temperature: Annotated[float, Field(gt=0)] = 1.0  # T of the KL, on both sides
