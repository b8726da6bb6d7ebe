"""The few numbers by which experiments are told apart: what `dvc exp show` has columns for.

All are of the delivered artefact: `compare.students` names the export of `compare.student`. Names
are short, since the terminal shows them side by side, and hold no variant's name, so that
experiments with other variants still share their columns. What was not measured has no key: DVC
shows a dash.
"""

import json
from collections import Counter
from collections.abc import Callable

from potstill.report.comparison import View
from potstill.report.differences import Difference
from potstill.report.gates import Verdict
from potstill.report.results import Estimate

MOST_NUMBERS = 25


def text(view: View, verdicts: list[Verdict]) -> str:
    """Return the numbers as JSON in reading order, which is that of DVC's columns."""
    return json.dumps(headline(view, verdicts), indent=2, allow_nan=False) + "\n"


def headline(view: View, verdicts: list[Verdict]) -> dict[str, float]:
    """Return at most 25 flat numbers in reading order.

    Keys:
        katas, katas_low, katas_high: pass@1 in per cent, with its 95 % interval.
        vs_teacher, vs_control: points above the teacher, and above the strongest control.
        pass, fail, not_run: gates by state.
        mb, tok_s, rss_mb, first_ms: size, decoding speed, peak memory, wait for the first token.
        inside: per cent of answers inside the subset.
        top1: per cent of positions with the checkpoint's most probable token.
        ppl, ppl_control, ppl_teacher: test perplexity; over the strongest control's, and over
            the teacher's: below 1 is better.
        steps, tokens: optimiser steps, and answer tokens trained on.
    """
    student, item = view.student, view.scored(view.settings.student)
    run, agreement = item.latency, item.parity.top1_agreement
    controls = view.settings.controls
    counts = Counter(verdict.state for verdict in verdicts)
    found = {
        **_percent("katas", item.katas),
        "vs_teacher": _points(view.over_students.get("teacher")),
        "vs_control": _points(_strongest(view.over_students, controls, min)),
        "pass": counts["pass"],
        "fail": counts["fail"],
        "not_run": counts["not-run"],
        "mb": item.size_bytes / 1e6,
        "tok_s": run.tokens_per_s if run else None,
        "rss_mb": run.peak_rss_mb if run else None,
        "first_ms": run.first_token_ms_p50 if run else None,
        "inside": 100 * item.inside_subset.value if item.inside_subset else None,
        "top1": 100 * agreement.value if agreement else None,
        "ppl": student.perplexity.value,
        "ppl_control": _value(_strongest(view.perplexity_over, controls, max)),
        "ppl_teacher": _value(view.perplexity_over.get("teacher")),
        "steps": student.steps,
        "tokens": student.num_tokens,
    }
    assert len(found) <= MOST_NUMBERS
    return {name: _short(value) for name, value in found.items() if value is not None}


def _percent(name: str, estimate: Estimate | None) -> dict[str, float]:
    if estimate is None:
        return {}
    ends = {"": estimate.value, "_low": estimate.low, "_high": estimate.high}
    return {name + end: 100 * value for end, value in ends.items()}


def _strongest(
    found: dict[str, Difference], controls: list[str], worst: Callable[..., Difference]
) -> Difference | None:
    """Return the comparison with the control that leaves the student least."""
    measured = [found[name] for name in controls if found[name].estimate]
    return worst(measured, key=_value) if measured else None


def _value(found: Difference | None) -> float | None:
    return found.estimate.value if found and found.estimate else None


def _points(found: Difference | None) -> float | None:
    value = _value(found)
    return None if value is None else 100 * value


def _short(value: float) -> float:
    """Round to what a terminal has room for; whole numbers stay whole."""
    return value if isinstance(value, int) else round(value, 3 if abs(value) < 10 else 1)
