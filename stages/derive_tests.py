"""Give mined functions tests of their own: what they return, where that tells them from faults.

Reads   functions   JSONL of mined functions
Writes  out         functions.jsonl (task rows with tests and reference, as in data/prompts);
                    rejected.jsonl (why the others get none); metrics: functions by reason
"""

from pathlib import Path
from typing import Annotated

from potstill import sandbox, stage
from potstill.params import Section
from potstill.testing import derive
from potstill.testing.execution import Execution
from pydantic import Field


class Params(Section):
    """Settings of `derive_tests`."""

    policy: str  # subset policy: what is outside is not tried
    max_functions: Annotated[int, Field(ge=0)]  # of each language that are tried
    cpu_s: Annotated[float, Field(gt=0)]  # of one execution
    workers: Annotated[int, Field(ge=1)]
    sandbox: sandbox.Mode  # minimum: Landlock or mounts, seccomp and limits; all: every layer


def main(params: Params, *, functions: Path, out: Path) -> dict[str, int]:
    """Try functions with guessed arguments in the sandbox."""
    execution = Execution(sandbox.Limits(params.cpu_s), params.workers, params.sandbox)
    policy, most = params.policy, params.max_functions
    return derive.derive(functions, out, policy=policy, most=most, execution=execution)


if __name__ == "__main__":
    stage.run(main, Params)
