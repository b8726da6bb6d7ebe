"""What a difference allows to say: better, worse, or not established and why.

"Better" and "worse" need at least three training seeds on each side that was trained, an interval
that excludes no difference and p below 0.05, of all but the primary endpoint after Holm's
correction for the number of differences in the report. See docs/statistics.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from potstill import statistics
from potstill.report.differences import Difference
from potstill.report.results import LESS_IS_BETTER, PERPLEXITY

MIN_SEEDS = 3
ALPHA = 0.05
NUMBERS = {1: "one", 2: "two", 3: "three"}


@dataclass(frozen=True)
class Claim:
    """One comparison of the report.

    Attributes:
        task: PERPLEXITY is of the checkpoints, on test rows.
        first, second: student, control, teacher or export.
        seeds: training seeds of the trained side that has fewest; None where none was trained for
            the comparison: two exports of one checkpoint.
        p: two-sided; of exploratory differences after Holm's correction.
    """

    task: str
    measure: str
    first: str
    second: str
    found: Difference
    seeds: int | None
    is_primary: bool
    p: float = 1.0

    @property
    def word(self) -> Literal["better", "worse", "not established"]:
        """Return what may be said of the first."""
        estimate = self.found.estimate
        if self.why_not or estimate is None:
            return "not established"
        is_more = estimate.low > self.none
        return "better" if is_more != (self.measure in LESS_IS_BETTER) else "worse"

    @property
    def none(self) -> float:
        """Return the value of no difference: perplexities are compared by ratio."""
        return 1.0 if self.measure == PERPLEXITY else 0.0

    @property
    def why_not(self) -> str:
        """Return why nothing is established; empty where something is."""
        estimate = self.found.estimate
        if estimate is None:
            return self.found.reason
        if self.seeds is not None and self.seeds < MIN_SEEDS:
            return few_seeds(self.seeds)
        if estimate.low <= self.none <= estimate.high:
            return "the interval includes no difference"
        if self.p >= ALPHA:  # few families differ: a bootstrap of them is too sure
            return f"p {self.p:.2g}" + " after Holm's correction" * (not self.is_primary)
        return ""


def few_seeds(seeds: int) -> str:
    """Return what is said of too few seeds."""
    word = NUMBERS[seeds]
    return f"{word} training seed{'s' * (seeds > 1)} of the {NUMBERS[MIN_SEEDS]} that are needed"


def corrected(claims: Iterable[Claim]) -> list[Claim]:
    """Return the claims with their p-values: Holm's over all that are exploratory."""
    found = list(claims)
    places = [n for n, c in enumerate(found) if c.found.estimate and not c.is_primary]
    p_values = dict(zip(places, statistics.holm([found[n].found.p for n in places]), strict=True))
    return [replace(c, p=p_values.get(n, c.found.p)) for n, c in enumerate(found)]
