"""Settings of the comparison: who is compared with whom, on what, and what has to hold."""

import math
import operator
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from potstill.params import Section, closest
from potstill.report.results import LESS_IS_BETTER, PAIRED, PERPLEXITY

Measure = Literal[
    "difference_low", "ratio_high", "drop_high", "rate", "value", "parity", "size_mb", "peak_rss_mb"
]
# What a measure needs beside its bound, and the values that it can have.
NEEDS = {
    "difference_low": {"task", "of", "against"},
    "ratio_high": {"of", "against"},
    "drop_high": {"task", "of"},
    "rate": {"task", "of"},
    "value": {"task", "of"},
}
RANGES = {
    "difference_low": (-1.0, 1.0),
    "drop_high": (-1.0, 1.0),
    "rate": (0.0, 1.0),
    "parity": (0.0, 1.0),
}
BOUNDS: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "below": ("<", operator.lt),
    "at_most": ("≤", operator.le),
    "above": (">", operator.gt),
    "at_least": ("≥", operator.ge),
}


class Gate(Section):
    """One requirement: a measure and one bound."""

    measure: Measure
    task: str | None = None
    of: str | None = None  # what of the task: pass_at_1, inside_subset, ...; of a ratio: perplexity
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
        return self

    @model_validator(mode="after")
    def _what_it_needs(self) -> "Gate":
        needs = NEEDS.get(self.measure, set())
        given = {name for name in ("task", "of", "against") if getattr(self, name) is not None}
        if given != needs:
            raise ValueError(f"{self.measure} needs {_listed(needs)}, got {_listed(given)}")
        more_is_better = [name for name in PAIRED if name not in LESS_IS_BETTER]
        allowed = [PERPLEXITY] if self.measure == "ratio_high" else more_is_better
        if self.of is not None and self.measure not in ("rate", "value") and self.of not in allowed:
            raise ValueError(f"of {self.of!r}: {closest(self.of, allowed)}")
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

    @property
    def decides(self) -> bool:
        """Say whether some outcome could fail."""
        ends = RANGES.get(self.measure, (0.0, math.inf))
        return not all(self.holds(end) for end in ends)

    def holds(self, value: float) -> bool:
        """Say whether a value satisfies the bound."""
        return BOUNDS[self.kind][1](value, self.bound)


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing beside its bound"


class Primary(Section):
    """The one comparison that was chosen before the results were seen."""

    task: str
    measure: str
    against: str  # control

    @field_validator("measure")
    @classmethod
    def _can_be_paired(cls, measure: str) -> str:
        if measure not in PAIRED:
            raise ValueError(closest(measure, PAIRED))
        return measure


def _as_list(value: Any) -> Any:  # noqa: ANN401 - whatever stands in params.yaml
    return [value] if isinstance(value, str) else value


Exports = Annotated[list[str], Field(min_length=1), BeforeValidator(_as_list)]


class Comparison(Section):
    """Settings of `compare`."""

    student: str  # the student that is delivered; the other students are its controls
    # student -> the export through which it is scored, or a list with one for each training seed
    students: dict[str, Exports]
    teacher: str  # export
    baseline: str  # export; the other exports of the delivered checkpoint are measured against it
    primary: Primary  # all other differences are exploratory
    on_failure: Literal["report", "stop"]  # stop: an error unless every gate passes
    gates: dict[str, Gate]

    @field_validator("students")
    @classmethod
    def _has_students(cls, students: dict[str, list[str]]) -> dict[str, list[str]]:
        if not students:
            raise ValueError("at least the delivered student is needed")
        return students

    @model_validator(mode="after")
    def _names_exist(self) -> "Comparison":
        named = {gate.against for gate in self.gates.values() if gate.against}
        for name in sorted(named | {self.student, self.primary.against}):
            if name not in self.students:
                raise ValueError(f"no student {name}; {closest(name, self.students)}")
        if self.student in {gate.against for gate in self.gates.values()} | {self.primary.against}:
            raise ValueError(f"against {self.student}: it is the delivered student, not a control")
        return self

    @property
    def controls(self) -> list[str]:
        """Return the other students."""
        return [name for name in self.students if name != self.student]
