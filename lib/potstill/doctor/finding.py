"""What one look found."""

from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["pass", "fail", "not-run"]


@dataclass(frozen=True)
class Finding:
    """A verdict with its numbers.

    Attributes:
        name: of the look.
        verdict: not-run: it says nothing of this training, and why.
        words: what was found; of a failure also what to do.
        numbers: what it rests on, by name with unit.
    """

    name: str
    verdict: Verdict
    words: str
    numbers: dict[str, float] = field(default_factory=dict)


def judged(name: str, is_sound: bool, words: str, to_do: str, **numbers: float) -> Finding:
    """Return a finding that passes, or fails with what to do."""
    if is_sound:
        return Finding(name, "pass", words, numbers)
    return Finding(name, "fail", f"{words}: {to_do}", numbers)
