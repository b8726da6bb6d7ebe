"""From scored rows to the metrics of an artefact: rates, each with its n and interval."""

from collections.abc import Sequence
from typing import Any

from potstill import statistics

Row = dict[str, Any]


def summary(rows: Sequence[Row]) -> dict[str, float]:
    """Return the flat metrics of `score_code`.

    For each benchmark: `<name>_pass_at_1` with `_low` and `_high`, `<name>_n`, `<name>_families`,
    `<name>_inside_subset` (share of all answers inside) and `<name>_pass_at_1_and_inside`. A
    benchmark that was not run has `_n` 0 and no rates: a missing rate is never a pass. Katas come
    by level and language too. Intervals resample families; HumanEval's problems, each its own
    family, have Wilson's.
    """
    metrics: dict[str, float] = {}
    for benchmark in ("katas", "humaneval"):
        metrics |= _benchmark(benchmark, [row for row in rows if row["benchmark"] == benchmark])
    if rows:
        metrics["hit_length_limit_share"] = _share(rows, "hit_length_limit")
    return {key: round(value, 6) for key, value in metrics.items()}


def _share(rows: Sequence[Row], key: str) -> float:
    return sum(bool(row[key]) for row in rows) / len(rows)


def _benchmark(name: str, rows: Sequence[Row]) -> dict[str, float]:
    metrics: dict[str, float] = {f"{name}_n": len(rows)}
    if not rows:
        return metrics
    families = {row["family"] for row in rows}
    if len(families) == len(rows):
        rate = statistics.wilson(sum(row["passed"] for row in rows), len(rows))
    else:
        rate = statistics.cluster_mean(
            [float(row["passed"]) for row in rows], [row["family"] for row in rows]
        )
    metrics |= {
        f"{name}_families": len(families),
        f"{name}_pass_at_1": rate.value,
        f"{name}_pass_at_1_low": rate.low,
        f"{name}_pass_at_1_high": rate.high,
        f"{name}_inside_subset": _share(rows, "inside_subset"),
        f"{name}_pass_at_1_and_inside": sum(row["passed"] and row["inside_subset"] for row in rows)
        / len(rows),
    }
    if name == "katas":
        for key in ("level", "language"):
            for value in sorted({row[key] for row in rows}):
                part = [row for row in rows if row[key] == value]
                label = f"level_{value}" if key == "level" else value
                metrics[f"{name}_pass_at_1_{label}"] = _share(part, "passed")
                metrics[f"{name}_n_{label}"] = len(part)
    return metrics
