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
    for control in view.settings.controls:
        ratio = view.perplexity_ratio(control)
        numbers[f"{student}_over_{control}_perplexity"] = round(ratio, 6)
    for name, difference in view.over_students.items():
        numbers |= _flat(f"{student}_minus_{name}", difference)
    for name, difference in view.over_baseline.items():
        numbers |= _flat(f"{name}_minus_{view.baseline.name}", difference)
    good = passing(view, verdicts)
    if good:
        numbers["smallest_passing_variant_bytes"] = good[-1].size_bytes
    return numbers


def _flat(prefix: str, difference: Difference) -> dict[str, float]:
    estimate = difference.estimate
    if estimate is None:
        return {f"{prefix}_n": 0}
    return {
        f"{prefix}_pass_at_1": round(estimate.value, 6),
        f"{prefix}_pass_at_1_low": round(estimate.low, 6),
        f"{prefix}_pass_at_1_high": round(estimate.high, 6),
        f"{prefix}_n": estimate.n,
    }
