"""The comparison as flat numbers for `dvc exp show`; what was not measured has no key."""

from collections import Counter

from potstill.report.comparison import View
from potstill.report.differences import Difference
from potstill.report.gates import Verdict, passing


def summary(view: View, verdicts: list[Verdict]) -> dict[str, float]:
    """Return gate counts, perplexity ratios, differences in pass@1 with intervals, and a size.

    Differences are shares of one (0.05 is five points); sizes are bytes.
    """
    counts = Counter(verdict.state for verdict in verdicts)
    student = view.settings.student
    numbers: dict[str, float] = {
        "gates_passed": counts["pass"],
        "gates_failed": counts["fail"],
        "gates_not_run": counts["not-run"],
    }
    for name, ratio in view.perplexity_over.items():
        numbers |= _flat(f"{student}_over_{name}_perplexity", ratio)
    for name, difference in view.over_students.items():
        numbers |= _flat(f"{student}_minus_{name}_pass_at_1", difference)
    for name, difference in view.over_baseline.items():
        numbers |= _flat(f"{name}_minus_{view.baseline.name}_pass_at_1", difference)
    good = passing(view, verdicts)
    if good:
        numbers["smallest_passing_variant_bytes"] = good[-1].size_bytes
    return numbers


def _flat(prefix: str, difference: Difference) -> dict[str, float]:
    estimate = difference.estimate
    if estimate is None:
        return {f"{prefix}_n": 0}
    return {
        prefix: round(estimate.value, 6),
        f"{prefix}_low": round(estimate.low, 6),
        f"{prefix}_high": round(estimate.high, 6),
        f"{prefix}_n": estimate.n,
    }
