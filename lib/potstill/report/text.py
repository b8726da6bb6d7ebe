"""Numbers as people read them; every table, sentence and label goes through here."""

import re

from potstill.report.results import Estimate

NOT_RUN = "not run"
MINUS = "\N{MINUS SIGN}"
GLUE = "\N{NO-BREAK SPACE}"  # keeps a number and its unit on one line


def measure(name: str) -> str:
    """Return a measure of the scores as people call it: pass_at_1_and_inside, inside_subset, ..."""
    known = {
        "hit_limit": "cut off",
        "pass_at_1_lenient": "pass@1, lenient",
        "well_formed_lenient": "well formed, lenient",
        "kl_nats": "KL",
        "same_top": "same top token",
        "bleu": "BLEU",
        "chrf": "chrF",
    }
    return known.get(name) or re.sub(r"^pass at (\d+)", r"pass@\1", name.replace("_", " "))


def whole(value: float) -> str:
    """Return 1234567 as 1,234,567."""
    return f"{value:,.0f}"


def percent(share: float, digits: int = 1) -> str:
    """Return a share of one in per cent."""
    return f"{100 * share:.{digits}f}{GLUE}%"


def megabytes(size_bytes: float) -> str:
    """Return bytes in units of a million."""
    return f"{size_bytes / 1e6:.1f}{GLUE}MB"


def signed(share: float) -> str:
    """Return a difference of two shares in points, with its sign; a rounded 0 has none."""
    shown = f"{100 * share:+.1f}"
    return "0.0" if float(shown) == 0 else shown.replace("-", MINUS)


def rate(estimate: Estimate | None) -> str:
    """Return a rate with its interval and count."""
    if estimate is None:
        return NOT_RUN
    return f"{value(estimate)}, n{GLUE}{estimate.n}"


def value(estimate: Estimate) -> str:
    """Return a measure of the scores with its ends: a share in per cent, any other in its unit."""
    if not estimate.unit:
        low, high = f"{100 * estimate.low:.1f}", f"{100 * estimate.high:.1f}"
        return f"{percent(estimate.value)} ({low} to {high})"
    return f"{plain(estimate)} {estimate.unit}"


def points(estimate: Estimate | None) -> str:
    """Return a difference of rates with its interval and count."""
    if estimate is None:
        return NOT_RUN
    interval = f"{signed(estimate.low)} to {signed(estimate.high)}"
    return f"{signed(estimate.value)} ({interval}), n{GLUE}{estimate.n}"


def sentence(estimate: Estimate) -> str:
    """Return a difference of rates as it stands in a sentence."""
    interval = f"95{GLUE}% interval {signed(estimate.low)} to {signed(estimate.high)}"
    return f"{signed(estimate.value)}{GLUE}points ({interval}, n{GLUE}{estimate.n})"


def plain(estimate: Estimate | None, digits: int = 2) -> str:
    """Return a number with its interval."""
    if estimate is None:
        return NOT_RUN
    low, high = _number(estimate.low, digits), _number(estimate.high, digits)
    return f"{_number(estimate.value, digits)} ({low} to {high})"


def _number(value: float, digits: int) -> str:
    """Return a number with its decimals, or as 3.1e+19 where those would say nothing."""
    is_readable = value == 0 or 10**-digits <= abs(value) < 1e5
    return f"{value:.{digits}f}" if is_readable else f"{value:.1e}"


def ratio(estimate: Estimate | None) -> str:
    """Return a ratio with its interval and count."""
    return f"{plain(estimate, 3)}, n{GLUE}{estimate.n}" if estimate else NOT_RUN
