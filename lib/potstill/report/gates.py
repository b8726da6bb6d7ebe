"""Judge what was measured: pass, fail, or not-run with a reason; what is not measured never passes.

A measure gives each of its subjects a value or the reason why there is none. Zero is no value for a
size or a memory: it means that nothing was measured. A drop from a baseline that solves nothing is
no value either: there was nothing to lose. A difference is judged by the end of its interval that
speaks against the student, so that noise does not pass: the low end of a gain, the high end of a
drop. A bound that no outcome could fail decides nothing and is not-run.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from potstill.errors import InputError
from potstill.report import text
from potstill.report.claims import MIN_SEEDS, Claim, few_seeds
from potstill.report.comparison import View
from potstill.report.differences import between
from potstill.report.results import PERPLEXITY, Estimate, Variant
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
    bound = "pass" if gate.measure == "parity" else f"{gate.sign} {_show(gate, gate.bound)}"
    reason = _why_not(gate, item)
    if item.value is None or reason:
        return Verdict(name, item.subject, "not-run", "-", bound, reason)
    state: State = "pass" if gate.holds(item.value) else "fail"
    return Verdict(name, item.subject, state, _show(gate, item.value), bound, item.reason)


def _why_not(gate: Gate, item: Measured) -> str:
    """Return why a value decides nothing; empty where it does."""
    if item.value is None:
        return item.reason
    if not math.isfinite(item.value):
        return f"measured {item.value}"
    if item.n is not None and item.n < gate.min_n:
        return f"n {item.n}; the gate asks for {gate.min_n}"
    return "" if gate.decides else "no outcome could fail this bound"


def _show(gate: Gate, value: float) -> str:
    if gate.measure == "parity":
        return "pass" if value else "fail"
    if gate.measure == "rate":
        return text.percent(value)
    if gate.measure in ("difference_low", "drop_high"):
        return f"{text.signed(value).removeprefix('+')}{text.GLUE}points"
    return (
        f"{value:.3f}" if gate.measure in ("ratio_high", "value") else f"{value:.1f}{text.GLUE}MB"
    )


def _ratio_high(view: View, gate: Gate) -> Iterator[Measured]:
    yield _of_claim(view.claim(PERPLEXITY, str(gate.against)), "over", lambda e: e.high, text.ratio)


def _difference_low(view: View, gate: Gate) -> Iterator[Measured]:
    claim = view.over(str(gate.task), str(gate.of), str(gate.against))
    yield _of_claim(claim, "minus", lambda e: e.low, text.points)


def _of_claim(
    claim: Claim, sign: str, end: Callable[[Estimate], float], shown: Callable[[Estimate], str]
) -> Measured:
    """Judge the recipe and not one model of it: that takes several training seeds."""
    subject, estimate = f"{claim.first} {sign} {claim.second}", claim.found.estimate
    if estimate is None:
        return Measured(subject, None, claim.found.reason)
    if claim.seeds is not None and claim.seeds < MIN_SEEDS:
        return Measured(subject, None, f"{few_seeds(claim.seeds)}; measured {shown(estimate)}")
    return Measured(subject, end(estimate), f"of {shown(estimate)}", estimate.n)


def _drop_high(view: View, gate: Gate) -> Iterator[Measured]:
    """Non-inferiority: an export may lose so much to the baseline, its whole interval."""
    task, measure = str(gate.task), str(gate.of)
    base = view.baseline.rate(task, measure)
    for item in view.delivered:
        if item.name == view.baseline.name:
            continue
        found = between([item], [view.baseline], task, measure)
        if found.estimate is None:
            yield Measured(item.name, None, found.reason)
        elif base is None or base.value <= 0:
            yield Measured(item.name, None, f"{view.baseline.name} has none: nothing to lose")
        else:
            reason = f"difference {text.points(found.estimate)}"
            yield Measured(item.name, -found.estimate.low, reason, found.estimate.n)


def _rate(view: View, gate: Gate) -> Iterator[Measured]:
    """Judge a share of one."""
    for item, found in _of_task(view, gate):
        if isinstance(found, str):
            yield Measured(item.name, None, found)
        elif found.unit:
            reason = f"{gate.of} is no share, but {found.unit}: judge it by `value`"
            yield Measured(item.name, None, reason)
        else:
            yield Measured(item.name, found.value, text.rate(found), found.n)


def _value(view: View, gate: Gate) -> Iterator[Measured]:
    """Judge a number that is no share, in its unit."""
    for item, found in _of_task(view, gate):
        if isinstance(found, str):
            yield Measured(item.name, None, found)
        elif not found.unit:
            yield Measured(item.name, None, f"{gate.of} is a share: judge it by `rate`")
        else:
            yield Measured(item.name, found.value, text.value(found), found.n)


def _of_task(view: View, gate: Gate) -> Iterator[tuple[Variant, Estimate | str]]:
    """Yield each delivered export with its measure, or with why it has none."""
    task, measure = str(gate.task), str(gate.of)
    for item in view.delivered:
        reason = item.why_not(task) or f"{measure} was not measured"
        yield item, item.rate(task, measure) or f"{task}: {reason}"


def _parity(view: View, _: Gate) -> Iterator[Measured]:
    for item in view.variants:
        value = {"pass": 1.0, "fail": 0.0, "not-run": None}[item.parity.verdict]
        yield Measured(item.name, value, item.parity.reason)


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
    "difference_low": _difference_low,
    "ratio_high": _ratio_high,
    "drop_high": _drop_high,
    "rate": _rate,
    "value": _value,
    "parity": _parity,
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
