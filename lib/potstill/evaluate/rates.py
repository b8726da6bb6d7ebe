"""From scored rows to the metrics of an artefact: rates, each with its n and interval."""

from collections.abc import Sequence
from typing import Any

from potstill import statistics
from potstill.statistics import Interval

Row = dict[str, Any]
MEASURES = {
    "pass_at_1": ("passed",),
    "inside_subset": ("inside_subset",),
    "pass_at_1_and_inside": ("passed", "inside_subset"),
}


def summary(rows: Sequence[Row]) -> dict[str, float]:
    """Return the flat metrics of `score_code`.

    For each benchmark: `<name>_n`, `<name>_families`, and with `_low` and `_high`
    `<name>_pass_at_1`, `<name>_inside_subset` (share of all answers inside) and
    `<name>_pass_at_1_and_inside`. A benchmark that was not run has `_n` 0 and no rates: a missing
    rate is never a pass. Katas come by level and language too. Intervals: see `share`.
    """
    metrics: dict[str, float] = {}
    for benchmark in ("katas", "humaneval"):
        metrics |= _benchmark(benchmark, [row for row in rows if row["benchmark"] == benchmark])
    if rows:
        metrics["hit_length_limit_share"] = share(rows, "hit_length_limit").value
    return {key: round(value, 6) for key, value in metrics.items()}


def share(rows: Sequence[Row], *keys: str) -> Interval:
    """Return the share of rows in which all keys are true, with its interval.

    Families are resampled. Where each row is a family of its own, and where all rows are alike and
    resampling would give an interval of no width, it is Wilson's, over the families.
    """
    values = [all(row[key] for key in keys) for row in rows]
    families = [row["family"] for row in rows]
    num_families = len(set(families))
    if len(set(values)) > 1 and num_families < len(rows):
        return statistics.cluster_mean([float(value) for value in values], families)
    rate = sum(values) / len(rows)
    wilson = statistics.wilson(round(rate * num_families), num_families)
    return Interval(rate, wilson.low, wilson.high, len(rows))


def _benchmark(name: str, rows: Sequence[Row]) -> dict[str, float]:
    metrics: dict[str, float] = {f"{name}_n": len(rows)}
    if not rows:
        return metrics
    metrics[f"{name}_families"] = len({row["family"] for row in rows})
    for measure, keys in MEASURES.items():
        rate = share(rows, *keys)
        label = f"{name}_{measure}"
        metrics |= {label: rate.value, f"{label}_low": rate.low, f"{label}_high": rate.high}
    if name == "katas":
        for key in ("level", "language"):
            for value in sorted({row[key] for row in rows}):
                part = [row for row in rows if row[key] == value]
                label = f"level_{value}" if key == "level" else value
                metrics[f"{name}_pass_at_1_{label}"] = share(part, "passed").value
                metrics[f"{name}_n_{label}"] = len(part)
    return metrics
