"""How programs are run in the sandbox by a stage: limits, so many at a time, which layers."""

from collections.abc import Sequence
from dataclasses import dataclass

from potstill import sandbox


@dataclass(frozen=True)
class Execution:
    """How programs are run.

    Attributes:
        limits: of one program.
        workers: programs at a time.
        mode: which layers of the sandbox must be in force.
    """

    limits: sandbox.Limits
    workers: int
    mode: sandbox.Mode

    def run(self, cases: Sequence[sandbox.Case]) -> list[sandbox.RunResult]:
        """Return the results of cases in their order.

        Raises:
            InputError: the sandbox lacks a layer.
        """
        return sandbox.run_many(cases, self.workers, mode=self.mode)
