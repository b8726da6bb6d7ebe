"""Mean and quantiles of any number of values in fixed memory."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

DECIMALS = 4  # values are counted to so many


class Quantiles:
    """Counts of one named quantity, rounded; the mean is of the values themselves.

    Memory grows with the different rounded values: at most 10,001 for a probability.
    """

    def __init__(self) -> None:
        self._name = ""
        self._counts: dict[float, int] = {}
        self._sum = 0.0

    def add(self, name: str, values_N: NDArray[np.float32]) -> None:
        """Count more values of the quantity."""
        self._name = name
        self._sum += float(values_N.sum(dtype=np.float64))
        rounded, counts = np.unique(
            np.round(values_N.astype(np.float64), DECIMALS), return_counts=True
        )
        for value, count in zip(rounded.tolist(), counts.tolist(), strict=True):
            self._counts[value] = self._counts.get(value, 0) + count

    def summary(self, shares: Mapping[str, float]) -> dict[str, float]:
        """Return NAME_mean, and for each share the smallest value that so many do not exceed."""
        values = np.array(sorted(self._counts))
        reached = np.cumsum([self._counts[value] for value in values.tolist()])
        total = int(reached[-1])
        quantiles = {
            f"{self._name}_{share}": float(values[np.searchsorted(reached, part * total)])
            for share, part in shares.items()
        }
        return {f"{self._name}_mean": round(self._sum / total, 6), **quantiles}
