"""Rotary positions: the angles of each family, from config.json alone, without torch.

Pair i of a head of width E turns by position * theta ** (-2 i / E) / factor_i. Unscaled positions
have factors of 1; `llama3` slows the long waves down so that a longer context fits.

Source: Su et al. 2021 (RoFormer), eq. 15; Llama 3.1's `apply_scaling`, which transformers'
`_compute_llama3_parameters` and llama.cpp's converter (`rope_freqs.weight`) follow.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from potstill.errors import InputError

DEFAULT_THETA = 10_000.0


@dataclass(frozen=True)
class Llama3:
    """How `llama3` scales: waves longer than original / low turn `factor` times slower."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int


@dataclass(frozen=True)
class Rotary:
    """What config.json says of positions, in one form whatever transformers wrote it."""

    kind: str  # "default", "llama3", or another that no family here has
    theta: float
    scaling: Llama3 | None = None

    def factors(self, head_dim: int) -> list[float]:
        """Return by how much each of the head_dim / 2 angles is slowed down, from 1 upwards."""
        return [self._factor(wave) for wave in self._wavelengths(head_dim)]

    def frequencies(self, head_dim: int) -> list[float]:
        """Return the angle in radians that each of the head_dim / 2 pairs turns per position."""
        waves = self._wavelengths(head_dim)
        return [2 * math.pi / wave / self._factor(wave) for wave in waves]

    def _wavelengths(self, head_dim: int) -> list[float]:
        pairs = range(0, head_dim, 2)
        return [2 * math.pi * self.theta ** (pair / head_dim) for pair in pairs]

    def _factor(self, wave: float) -> float:
        if self.scaling is None:
            return 1.0
        turns = self.scaling.original_max_position_embeddings / wave
        low, high = self.scaling.low_freq_factor, self.scaling.high_freq_factor
        if turns > high:
            return 1.0
        if turns < low:
            return self.scaling.factor
        smooth = (turns - low) / (high - low)
        return 1 / ((1 - smooth) / self.scaling.factor + smooth)


def read(config: Mapping[str, Any]) -> Rotary:
    """Return the positions of a config.json: `rope_parameters`, or `rope_scaling` and `rope_theta`.

    Raises:
        InputError: something else than settings of that form, or `llama3` without its numbers.
    """
    given = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(given, Mapping) or any(isinstance(v, Mapping) for v in given.values()):
        raise InputError(
            "config.json has rope_parameters that are not one set for all layers: choose another "
            "model of this family"
        )
    kind = given.get("rope_type", given.get("type", "default"))
    theta = given.get("rope_theta") or config.get("rope_theta") or DEFAULT_THETA
    if not _is_positive(theta):
        raise InputError(f"config.json: rope_theta is {theta!r}; a number above 0 is needed")
    if kind != "llama3":
        return Rotary(kind, float(theta))
    names = list(Llama3.__dataclass_fields__)
    wrong = [name for name in names if not _is_positive(given.get(name))]
    if wrong or not given["low_freq_factor"] < given["high_freq_factor"] or given["factor"] < 1:
        raise InputError(
            f"config.json scales positions by llama3 without {', '.join(wrong) or 'an order'}; "
            "factor >= 1, 0 < low_freq_factor < high_freq_factor and "
            "original_max_position_embeddings are needed: fetch the model again"
        )
    return Rotary(kind, float(theta), Llama3(**{name: given[name] for name in names}))


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
