"""Draw tasks by their weights, the same wherever it is done."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from potstill import files
from potstill.errors import InputError

_LARGEST = float(1 << 64)


def read(path: Path) -> dict[str, float]:
    """Return the weights of tasks by id, from a file of `potstill round`.

    Raises:
        InputError: it is missing or no such file, or a weight is not above zero.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing: make it with potstill round")
    tree = files.read_json(path)
    weights = tree.get("weights") if isinstance(tree, dict) else None
    if not isinstance(weights, dict) or not all(map(_is_weight, weights.values())):
        raise InputError(f"{path} holds no weights above zero: make it with potstill round")
    return weights


def _is_weight(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 < value < math.inf


def in_order(
    tasks: list[dict[str, Any]], weights: Mapping[str, float], seed: int
) -> list[dict[str, Any]]:
    """Return tasks in the order in which they are drawn without replacement.

    Each waits for an exponential time whose rate is its weight (Efraimidis and Spirakis 2006,
    doi:10.1016/j.ipl.2005.11.003), with a uniform number that is a hash of seed and id: so more
    draws hold the fewer, and equal weights give the order of the hashes. A task without a weight
    has one, the mean.
    """

    def arrival(row: dict[str, Any]) -> float:
        uniform = int(files.row_id(str(seed), row["id"]), 16) / _LARGEST
        return -math.log1p(-uniform) / weights.get(row["id"], 1.0)

    return sorted(tasks, key=arrival)
