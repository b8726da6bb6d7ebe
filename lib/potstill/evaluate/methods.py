"""How a task is put to an artefact and what is counted: one module a method behind one registry."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from potstill.registry import Registry
from potstill.statistics import Interval
from potstill.tasks import Problem

if TYPE_CHECKING:
    from potstill.evaluate.scoring import Desk

Row = dict[str, Any]


class NothingMeasuredError(Exception):
    """Rows that give no measure: the task is then not run, with this text as the reason."""


@dataclass(frozen=True)
class Measured:
    """What rows say.

    Attributes:
        values: measure -> its value with a 95 % interval; a measure of nothing is left out.
        notes: what else the metrics hold: counts, versions.
    """

    values: dict[str, Interval]
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Quotient:
    """A measure that is one key of the rows over another, each summed over the rows.

    Attributes:
        above, below: the keys; `below` is positive and is the reference's, not the model's.
        scale: by which the quotient is multiplied.
        same: keys in which two artefacts' rows must agree besides `below` to be compared.
        exponential: the measure is e to the quotient, so that two artefacts have a ratio.
    """

    above: str
    below: str
    scale: float = 1.0
    same: tuple[str, ...] = ()
    exponential: bool = False


class Method(Protocol):
    """A module of the registry: one for each method.

    Attributes:
        MEASURE: the measure that two artefacts are compared in, and that is told of parts.
        FLAGS: keys of a row that are true or false. With `hit_limit` among them answers are
            written, and too many that were cut off are no score.
        PARTS: keys of a row by which MEASURE is also told of parts.
        UNITS: of the measures that are no shares of one.
        QUOTIENTS: the measures by which two artefacts are compared row by row, where rows do not
            pass or fail.
    """

    MEASURE: str
    FLAGS: tuple[str, ...]
    PARTS: tuple[str, ...]
    UNITS: dict[str, str]
    QUOTIENTS: dict[str, Quotient]

    def rows(self, desk: "Desk", problems: Sequence[Problem]) -> list[Row]:
        """Put problems to the artefact and return a row for each answer, in order.

        A row has at least id, task, family and what FLAGS and PARTS name.
        """
        ...

    def measures(self, rows: Sequence[Row]) -> Measured:
        """Return what rows say; there is at least one.

        Raises:
            NothingMeasuredError: they say nothing.
        """
        ...


METHODS: Registry[Method] = Registry(
    "method",
    {
        "code": "potstill.evaluate.code",
        "form": "potstill.evaluate.form",
        "likeness": "potstill.evaluate.likeness",
        "likelihood": "potstill.evaluate.likelihood",
        "loop": "potstill.evaluate.loop",
        "divergence": "potstill.evaluate.divergence",
    },
)
