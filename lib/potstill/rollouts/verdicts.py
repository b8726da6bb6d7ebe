"""What the executor and the subset policy say of a student's answers."""

from collections.abc import Sequence
from dataclasses import dataclass

from potstill import sandbox, subset
from potstill.models import formats
from potstill.rollouts.tasks import Task


@dataclass(frozen=True)
class Verdict:
    """Of one answer.

    Attributes:
        passed: all tests of its task.
        inside: the policy accepts its code.
    """

    passed: bool
    inside: bool

    @property
    def reward(self) -> float:
        """1 for an answer that is both, else 0."""
        return float(self.passed and self.inside)


@dataclass(frozen=True)
class Judge:
    """Runs answers against the tests of their tasks.

    Attributes:
        policy: name of the subset policy.
        cpu_s: of one execution.
        mode: layers without which nothing is run.
        workers: programs at a time.
    """

    policy: str
    cpu_s: float
    mode: sandbox.Mode
    workers: int

    def verdicts(self, tasks: Sequence[Task], answers: Sequence[str]) -> list[Verdict]:
        """Return the verdict of each answer to its task, in order; code by the agent's rule."""
        codes = [formats.extract_code(answer) for answer in answers]
        cases = [
            sandbox.Case(
                language=task.row["language"],
                code=code,
                tests=task.row["tests"],
                entry_point=task.row["entry_point"],
                limits=sandbox.Limits(cpu_s=self.cpu_s),
            )
            for task, code in zip(tasks, codes, strict=True)
        ]
        runs = sandbox.run_many(cases, self.workers, mode=self.mode)
        return [
            Verdict(run.ok, subset.check(task.row["language"], code, self.policy).supported)
            for task, code, run in zip(tasks, codes, runs, strict=True)
        ]
