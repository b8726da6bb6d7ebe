"""Judge what was measured: pass, fail, or not-run with a reason; what is not measured never passes.

A measure gives each of its subjects a value or the reason why there is none. Zero is no value for a
size or a memory: it means that nothing was measured. A drop from a baseline that solves nothing is
no value either: there was nothing to lose. A comparison of students is judged by the end of its
interval that speaks against the student, so that noise does not pass.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from potstill.errors import InputError
from potstill.report import text
from potstill.report.comparison import View
from potstill.report.differences import Difference
from potstill.report.results import Estimate, Variant
from potstill.report.settings import Comparison, Gate

State = Literal["pass", "fail", "not-run"]


@dataclass(frozen=True)
class Measured:
    """A subject's value, or the reason why there is none."""

    subject: str
    value: float | None
    reason: str = ""
    n: int | None = None  # what it was counted over, where it was


@dataclass(frozen=True)
class Verdict:
    """One gate's judgement of one subject."""

    gate: str
    subject: str
    state: State
    measured: str
    bound: str
    reason: str


def judge(view: View) -> list[Verdict]:
    """Return the verdicts of all gates in the order of params.yaml; a gate without subjects is one.

    Nothing that a gate was meant to hold for may vanish: without a subject it is not-run.
    """
    verdicts = []
    for name, gate in view.settings.gates.items():
        found = list(MEASURES[gate.measure](view, gate))
        found = found or [Measured("-", None, "there is nothing to measure")]
        verdicts += [_verdict(name, gate, item) for item in found]
    return verdicts


def passing(view: View, verdicts: list[Verdict]) -> list[Variant]:
    """Return the student's variants that pass every gate about them, from large to small."""
    about = {item.name: [v for v in verdicts if v.subject == item.name] for item in view.delivered}
    return [
        item
        for item in view.delivered
        if about[item.name] and all(verdict.state == "pass" for verdict in about[item.name])
    ]


def _verdict(name: str, gate: Gate, item: Measured) -> Verdict:
    bound = "pass" if gate.measure == "parity" else f"{gate.sign} {_show(gate.measure, gate.bound)}"
    if item.value is None:
        return Verdict(name, item.subject, "not-run", "-", bound, item.reason)
    if not math.isfinite(item.value):
        return Verdict(name, item.subject, "not-run", "-", bound, f"measured {item.value}")
    if item.n is not None and item.n < gate.min_n:
        reason = f"n {item.n}; the gate asks for {gate.min_n}"
        return Verdict(name, item.subject, "not-run", "-", bound, reason)
    state: State = "pass" if gate.holds(item.value) else "fail"
    return Verdict(name, item.subject, state, _show(gate.measure, item.value), bound, item.reason)


def _show(measure: str, value: float) -> str:
    if measure == "parity":
        return "pass" if value else "fail"
    if measure == "inside_subset":
        return text.percent(value)
    if measure.startswith("katas"):
        return f"{text.signed(value).removeprefix('+')}{text.GLUE}points"
    return f"{value:.3f}" if measure == "perplexity_ratio_high" else f"{value:.1f}{text.GLUE}MB"


def _perplexity_ratio_high(view: View, gate: Gate) -> Iterator[Measured]:
    subject = f"{view.settings.student} over {gate.against}"
    found = view.perplexity_over[str(gate.against)]
    yield _end_of(subject, found, lambda e: e.high, text.ratio)


def _katas_difference_low(view: View, gate: Gate) -> Iterator[Measured]:
    subject = f"{view.settings.student} minus {gate.against}"
    found = view.over_students[str(gate.against)]
    yield _end_of(subject, found, lambda e: e.low, text.points)


def _end_of(
    subject: str,
    found: Difference,
    end: Callable[[Estimate], float],
    shown: Callable[[Estimate], str],
) -> Measured:
    if found.estimate is None:
        return Measured(subject, None, found.reason)
    reason = f"of {shown(found.estimate)}"
    return Measured(subject, end(found.estimate), reason, found.estimate.n)


def _parity(view: View, _: Gate) -> Iterator[Measured]:
    for item in view.variants:
        value = {"pass": 1.0, "fail": 0.0, "not-run": None}[item.parity.verdict]
        yield Measured(item.name, value, item.parity.reason)


def _katas_drop(view: View, _: Gate) -> Iterator[Measured]:
    solves = any(row["passed"] for row in view.baseline.rows if row["task"] == "katas")
    for name, difference in view.over_baseline.items():
        if difference.estimate is None:
            yield Measured(name, None, difference.reason)
        elif not solves:
            yield Measured(name, None, f"{view.baseline.name} solves nothing: nothing to lose")
        else:
            reason = f"difference {text.points(difference.estimate)}"
            yield Measured(name, -difference.estimate.value, reason, difference.estimate.n)


def _inside_subset(view: View, _: Gate) -> Iterator[Measured]:
    for item in view.delivered:
        inside = item.inside_subset
        if inside is None:
            yield Measured(item.name, None, f"{item.name} tried no katas")
        else:
            yield Measured(item.name, inside.value, text.rate(inside), inside.n)


def _size_mb(view: View, _: Gate) -> Iterator[Measured]:
    for item in view.delivered:
        yield _positive(item.name, item.size_bytes / 1e6, "size")


def _peak_rss_mb(view: View, _: Gate) -> Iterator[Measured]:
    for item in view.delivered:
        if item.latency is None:
            yield Measured(item.name, None, "it was not run for latency and memory")
        else:
            yield _positive(item.name, item.latency.peak_rss_mb, "memory")


def _positive(subject: str, value: float, what: str) -> Measured:
    if value > 0:
        return Measured(subject, value)
    return Measured(subject, None, f"no {what} was measured: {value:g}")


MEASURES: dict[str, Callable[[View, Gate], Iterator[Measured]]] = {
    "perplexity_ratio_high": _perplexity_ratio_high,
    "katas_difference_low": _katas_difference_low,
    "parity": _parity,
    "katas_drop": _katas_drop,
    "inside_subset": _inside_subset,
    "size_mb": _size_mb,
    "peak_rss_mb": _peak_rss_mb,
}


def stop_unless_passed(verdicts: list[Verdict], settings: Comparison) -> None:
    """End the stage where params.yaml asks for it and a gate failed or was not run.

    Raises:
        InputError: names the gates; no table and no report is written.
    """
    open_ = [verdict for verdict in verdicts if verdict.state != "pass"]
    if open_ and settings.on_failure == "stop":
        named = ", ".join(f"{v.gate} of {v.subject} ({v.state})" for v in open_)
        raise InputError(
            f"{len(open_)} of {len(verdicts)} gates did not pass: {named}; "
            "mend them, or set compare.on_failure to `report` to see the report"
        )
