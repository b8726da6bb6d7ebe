"""From scored rows to the metrics of an artefact: rates, each with its n and interval."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from potstill import statistics
from potstill.errors import InputError
from potstill.evaluate.methods import METHODS, Method, NothingMeasuredError
from potstill.evaluate.scoring import Scores
from potstill.statistics import Interval

Row = dict[str, Any]
# Share of answers cut off by the cap above which a task counts as not run. One answer of at least
# ONE_OF is let pass: it moves a rate by a smaller part of its interval than 2 % of 200 answers do.
MAX_CUT, ONE_OF = 0.02, 20


def summary(scores: Scores) -> dict[str, Any]:
    """Return the flat metrics of `score`.

    For each task: `<task>.verdict`, run or not-run with `<task>.reason`; `<task>.n` answers to
    `<task>.problems`, of `<task>.families`; `<task>.list_sha256` of the list they were drawn from,
    `<task>.method`, by which answers were taken, `<task>.measure`, its main one, and
    `<task>.max_tokens`, where answers were written.
    A task that was run has its method's measures, each with `.low` and `.high`, and with `.unit`
    where it is no share; and its main measure by parts, as `<task>.pass_at_1[level=1]`, with `.n`.
    Where more than MAX_CUT of the answers were cut off, and not one of ONE_OF or more, only
    `hit_limit` is said: the rates would be of the cap and not of the model.

    Raises:
        InputError: a row says neither true nor false where it must.
    """
    metrics: dict[str, Any] = {}
    for name, facts in scores.facts.items():
        rows = [row for row in scores.rows if row["task"] == name]
        found = {"n": len(rows)} | facts | _task(rows, facts)
        metrics |= {f"{name}.{key}": value for key, value in found.items()}
    return metrics


def _task(rows: Sequence[Row], facts: dict[str, Any]) -> dict[str, Any]:
    if "reason" in facts:
        return {"verdict": "not-run"}
    if not rows:
        return {"verdict": "not-run", "reason": "no problems were tried"}
    method = METHODS[facts["method"]]
    _check(rows, method.FLAGS)
    metrics: dict[str, Any] = {
        "measure": method.MEASURE,
        "problems": len({row["id"] for row in rows}),
        "families": len({row["family"] for row in rows}),
    }
    if "hit_limit" in method.FLAGS:
        metrics |= _with_ends("hit_limit", share(rows, "hit_limit"))
        cut = metrics["hit_limit"]
        one = len(rows) >= ONE_OF and sum(row["hit_limit"] for row in rows) == 1
        if cut > MAX_CUT and not one:
            reason = (
                f"{cut:.1%} of the answers were cut off at {facts['max_tokens']} tokens, more than "
                f"{MAX_CUT:.0%}: raise scoring.max_tokens, or scoring.context"
            )
            return metrics | {"verdict": "not-run", "reason": reason}
    try:
        found = method.measures(rows)
    except NothingMeasuredError as error:
        return metrics | {"verdict": "not-run", "reason": str(error)}
    metrics |= {"verdict": "run"} | found.notes
    for measure, value in found.values.items():
        metrics |= _with_ends(measure, value)
        if measure in method.UNITS:
            metrics[f"{measure}.unit"] = method.UNITS[measure]
    return metrics | _parts(rows, method)


def _parts(rows: Sequence[Row], method: Method) -> dict[str, Any]:
    """Return the main measure of parts of the rows, where there are several."""
    metrics: dict[str, Any] = {}
    for key in method.PARTS:
        values = sorted({row[key] for row in rows})
        for value in values if len(values) > 1 else ():
            part = [row for row in rows if row[key] == value]
            label = f"{method.MEASURE}[{key}={value}]"
            found = method.measures(part).values[method.MEASURE]
            metrics |= _with_ends(label, found) | {f"{label}.n": len(part)}
            if method.MEASURE in method.UNITS:
                metrics[f"{label}.unit"] = method.UNITS[method.MEASURE]
    return metrics


def share(rows: Sequence[Row], *keys: str) -> Interval:
    """Return the share of rows in which all keys are true, with its interval.

    Problems weigh the same, whatever their samples. Families are resampled; see `_interval`.
    """
    return _by_problem(rows, lambda flags: sum(flags) / len(flags), *keys)


def mean(rows: Sequence[Row], key: str, least: float, most: float) -> Interval:
    """Return the mean of a number that lies between two ends, with its interval.

    Problems weigh the same, and families are resampled, as of a share.
    """
    numbers: dict[str, list[float]] = {}
    families: dict[str, str] = {}
    for row in rows:
        numbers.setdefault(row["id"], []).append((row[key] - least) / (most - least))
        families[row["id"]] = row["family"]
    values = [sum(found) / len(found) for found in numbers.values()]
    found = _interval(values, list(families.values()), len(rows))
    value, low, high = (least + end * (most - least) for end in found[:3])
    return Interval(value, low, high, found.n)


def pass_at(rows: Sequence[Row], k: int) -> Interval:
    """Return the chance that one of k answers passes, with its interval."""
    return _by_problem(rows, lambda flags: estimate_pass_at(len(flags), sum(flags), k), "passed")


def estimate_pass_at(n: int, passed: int, k: int) -> float:
    """Return the unbiased estimate of pass@k from `passed` of n samples, n at least k.

    1 - C(n - passed, k) / C(n, k). Source: Chen et al. 2021, section 2.1.
    """
    if not 0 <= passed <= n or not 0 < k <= n:
        raise ValueError(f"pass@{k} of {passed} of {n}")
    return (
        float(1.0 - np.prod(1.0 - k / np.arange(n - passed + 1, n + 1))) if n - passed >= k else 1.0
    )


def _by_problem(
    rows: Sequence[Row], measure: Callable[[Sequence[bool]], float], *keys: str
) -> Interval:
    flags: dict[str, list[bool]] = {}
    families: dict[str, str] = {}
    for row in rows:
        flags.setdefault(row["id"], []).append(all(row[key] for key in keys))
        families[row["id"]] = row["family"]
    values = [measure(found) for found in flags.values()]
    return _interval(values, list(families.values()), len(rows))


def _interval(values: Sequence[float], families: Sequence[str], n: int) -> Interval:
    """Return a mean over problems: families are resampled.

    Where each problem is a family of its own and passes or does not, and where all are alike, so
    that resampling would give an interval of no width, it is Wilson's, over the families.
    """
    num_families = len(set(families))
    whole = set(values) <= {0.0, 1.0}
    if len(set(values)) > 1 and not (whole and num_families == len(values)):
        found = statistics.cluster_mean(values, families)
        return Interval(found.value, found.low, found.high, n)
    rate = sum(values) / len(values)
    wilson = statistics.wilson(round(rate * num_families), num_families)
    return Interval(rate, wilson.low, wilson.high, n)


def _with_ends(name: str, found: Interval) -> dict[str, float]:
    ends = {name: found.value, f"{name}.low": found.low, f"{name}.high": found.high}
    return {key: round(value, 6) for key, value in ends.items()}


def fewest_samples(rows: Sequence[Row]) -> int:
    """Return how many answers each problem has at least."""
    return min(Counter(row["id"] for row in rows).values())


def _check(rows: Sequence[Row], flags: Sequence[str]) -> None:
    for row in rows:
        for key in flags:
            if not isinstance(row.get(key), bool):
                raise InputError(f"row {row['id']}: {key} is {row.get(key)!r}, not true or false")
