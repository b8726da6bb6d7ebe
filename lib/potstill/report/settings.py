"""Settings of the comparison: who is compared with whom, and what has to hold."""

import math
import operator
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from potstill.params import Section, closest

Measure = Literal[
    "perplexity_ratio_high",
    "katas_difference_low",
    "parity",
    "katas_drop",
    "inside_subset",
    "size_mb",
    "peak_rss_mb",
]
AGAINST_A_CONTROL = ("perplexity_ratio_high", "katas_difference_low")
BOUNDS: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "below": ("<", operator.lt),
    "at_most": ("≤", operator.le),
    "above": (">", operator.gt),
    "at_least": ("≥", operator.ge),
}


class Gate(Section):
    """One requirement: a measure and one bound."""

    measure: Measure
    against: str | None = None  # control; for measures of one student against another
    below: float | None = None
    at_most: float | None = None
    above: float | None = None
    at_least: float | None = None
    min_n: Annotated[int, Field(ge=1)] = 1  # rows below which a rate decides nothing

    @model_validator(mode="after")
    def _one_bound(self) -> "Gate":
        given = [name for name in BOUNDS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of {', '.join(BOUNDS)}, not {len(given)}")
        if not math.isfinite(self.bound):
            raise ValueError(f"{given[0]} must be a finite number")
        if (self.against is None) == (self.measure in AGAINST_A_CONTROL):
            raise ValueError(
                f"`against` belongs to {' and '.join(AGAINST_A_CONTROL)}, and only there"
            )
        return self

    @property
    def kind(self) -> str:
        """Return which bound is given."""
        return next(name for name in BOUNDS if getattr(self, name) is not None)

    @property
    def bound(self) -> float:
        """Return the bound's value."""
        return float(getattr(self, self.kind))

    @property
    def sign(self) -> str:
        """Return the comparison as a sign."""
        return BOUNDS[self.kind][0]

    def holds(self, value: float) -> bool:
        """Say whether a finite value satisfies the bound."""
        return BOUNDS[self.kind][1](value, self.bound)


class Comparison(Section):
    """Settings of `compare`."""

    student: str  # the student that is delivered; the other students are its controls
    students: dict[str, str]  # student -> the exported variant through which it is scored
    teacher: str  # variant
    baseline: str  # variant; the student's other variants are measured against it
    on_failure: Literal["report", "stop"]  # stop: an error unless every gate passes
    gates: dict[str, Gate]

    @field_validator("students")
    @classmethod
    def _has_students(cls, students: dict[str, str]) -> dict[str, str]:
        if not students:
            raise ValueError("at least the delivered student is needed")
        return students

    @model_validator(mode="after")
    def _names_exist(self) -> "Comparison":
        named = {gate.against for gate in self.gates.values() if gate.against} | {self.student}
        for name in sorted(named - set(self.students)):
            raise ValueError(f"no student {name}; {closest(name, self.students)}")
        return self

    @property
    def controls(self) -> list[str]:
        """Return the other students."""
        return [name for name in self.students if name != self.student]
