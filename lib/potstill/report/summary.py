"""The comparison as flat numbers; what was not measured has no key."""

from collections import Counter

from potstill.report.claims import Claim
from potstill.report.comparison import View
from potstill.report.gates import Verdict, passing
from potstill.report.results import PERPLEXITY


def summary(view: View, verdicts: list[Verdict]) -> dict[str, float]:
    """Return gate counts, every difference of the report with its interval and p, and a size.

    Keys: `<first>_minus_<second>.<task>.<measure>` and `<first>_over_<second>.perplexity`, with
    `.low`, `.high`, `.n`, `.p` and, where something was trained, `.seeds`. Differences are shares
    of one (0.05 is five points), p is Holm's but for the primary endpoint; sizes are bytes.
    """
    counts = Counter(verdict.state for verdict in verdicts)
    numbers: dict[str, float] = {
        "gates_passed": counts["pass"],
        "gates_failed": counts["fail"],
        "gates_not_run": counts["not-run"],
    }
    for claim in view.claims:
        numbers |= _flat(claim)
    good = passing(view, verdicts)
    if good:
        numbers["smallest_passing_variant_bytes"] = good[-1].size_bytes
    return numbers


def _flat(claim: Claim) -> dict[str, float]:
    if claim.task == PERPLEXITY:
        label = f"{claim.first}_over_{claim.second}.{PERPLEXITY}"
    else:
        label = f"{claim.first}_minus_{claim.second}.{claim.task}.{claim.measure}"
    estimate = claim.found.estimate
    if estimate is None:
        return {f"{label}.n": 0}
    numbers = {
        label: round(estimate.value, 6),
        f"{label}.low": round(estimate.low, 6),
        f"{label}.high": round(estimate.high, 6),
        f"{label}.n": estimate.n,
        f"{label}.p": round(claim.p, 6),
    }
    return numbers | ({} if claim.seeds is None else {f"{label}.seeds": claim.seeds})
