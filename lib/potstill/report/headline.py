"""The few numbers by which experiments are told apart: what `dvc exp show` has columns for.

All are of the delivered artefact: `compare.students` names the export of `compare.student`. Names
are short, since the terminal shows them side by side, and hold no variant's name, so that
experiments with other variants still share their columns; that of the first is the primary
endpoint's task. What was not measured has no key: DVC shows a dash.
"""

import json
from collections import Counter

from potstill.report.claims import Claim
from potstill.report.comparison import TEACHER, View
from potstill.report.gates import Verdict
from potstill.report.results import PERPLEXITY, Estimate

MOST_NUMBERS = 25


def text(view: View, verdicts: list[Verdict]) -> str:
    """Return the numbers as JSON in reading order, which is that of DVC's columns."""
    return json.dumps(headline(view, verdicts), indent=2, allow_nan=False) + "\n"


def headline(view: View, verdicts: list[Verdict]) -> dict[str, float]:
    """Return at most 25 flat numbers in reading order.

    Keys:
        <task>, low, high: the primary endpoint's measure in per cent, with its 95 % interval.
        gain, gain_low, gain_high: points above the primary endpoint's control, over all seeds.
        seeds: training seeds behind the gain; below three nothing is established.
        pass, fail, not_run: gates by state; one that could not decide is not run.
        mb, tok_s, rss_mb, first_ms: size, decoding speed, peak memory, wait for the first token.
        inside: per cent of the task's answers inside the subset.
        top1: per cent of positions with the checkpoint's most probable token.
        ppl, ppl_ctrl, ppl_teach: test perplexity; over the control's, and over the teacher's:
            below 1 is better.
        vs_teach: points above the teacher.
        <other task>: its measure, in per cent or its own unit; where there is no room for all,
            those with most answers.
    """
    primary, item, run = view.settings.primary, view.item, view.student.runs[0]
    cost, agreement = item.latency, item.parity.top1_agreement
    claim, counts = view.claims[0], Counter(verdict.state for verdict in verdicts)
    rate, gain = item.rate(primary.task, primary.measure), claim.found.estimate
    inside = item.rate(primary.task, "inside_subset")
    found = {
        **_percent(primary.task, "", rate),
        **_percent("gain", "gain_", gain),
        "seeds": claim.seeds if gain else None,
        "pass": counts["pass"],
        "fail": counts["fail"],
        "not_run": counts["not-run"],
        "mb": item.size_bytes / 1e6,
        "tok_s": cost.tokens_per_s if cost else None,
        "rss_mb": cost.peak_rss_mb if cost else None,
        "first_ms": cost.first_token_ms_p50 if cost else None,
        "inside": 100 * inside.value if inside else None,
        "top1": 100 * agreement.value if agreement else None,
        "ppl": run.perplexity.value,
        "ppl_ctrl": _value(view.claim(PERPLEXITY, primary.against)),
        "ppl_teach": _value(view.claim(PERPLEXITY, TEACHER)),
        "vs_teach": _value(view.claim(primary.task, TEACHER), 100),
    }
    tried = [score for task, score in item.scores.items() if score.measures and task not in found]
    for score in sorted(tried, key=lambda score: (-len(score.rows), score.task)):
        other = item.rate(score.task, view.measure(score.task) or score.measure)
        if other is not None and len(found) < MOST_NUMBERS:
            found[score.task] = other.value if other.unit else 100 * other.value
    assert len(found) <= MOST_NUMBERS
    return {name: _short(value) for name, value in found.items() if value is not None}


def _percent(name: str, prefix: str, estimate: Estimate | None) -> dict[str, float]:
    if estimate is None:
        return {}
    ends = {name: estimate.value, f"{prefix}low": estimate.low, f"{prefix}high": estimate.high}
    return {end: 100 * value for end, value in ends.items()}


def _value(claim: Claim, unit: float = 1) -> float | None:
    return unit * claim.found.estimate.value if claim.found.estimate else None


def _short(value: float) -> float:
    """Round to what a terminal has room for; whole numbers stay whole."""
    return value if isinstance(value, int) else round(value, 3 if abs(value) < 10 else 1)
