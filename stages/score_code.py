"""Let an artefact solve held-out katas and HumanEval through its own runtime; pass@1.

Reads   artefact    exported artefact
        prompts     folder with heldout.jsonl (task rows)
Writes  out         JSONL: one row a problem, with the answer and why it failed
        metrics     pass@1 with 95 % intervals, inside-subset rates, by level and language
"""

from pathlib import Path
from typing import Annotated

from potstill import files, runtime, sandbox, stage
from potstill.evaluate import code_tasks, rates
from potstill.models.chat import ChatTokenizer
from potstill.params import Section
from pydantic import Field


class Params(Section):
    """Settings of one artefact of `score_code`."""

    katas: Annotated[int, Field(ge=0)]  # held-out tasks to try; 0 is reported as not run
    humaneval: Annotated[int, Field(ge=0, le=164)]
    max_tokens: Annotated[int, Field(ge=1)]  # of one answer to a kata
    humaneval_max_tokens: Annotated[int, Field(ge=1)]
    context: Annotated[int, Field(ge=64)]  # tokens of prompt and answer
    policy: str  # subset policy
    cpu_s: Annotated[float, Field(gt=0)]  # of one execution
    threads: Annotated[int, Field(ge=1)]
    seed: int


def main(params: Params, *, artefact: Path, prompts: Path, out: Path) -> dict[str, float]:
    """Generate, execute, count."""
    held = files.read_jsonl(prompts / "heldout.jsonl", ["id", "task", "tests", "family"])
    benchmarks = (
        (code_tasks.kata_problems(held, params.katas, params.seed), params.max_tokens),
        (
            code_tasks.humaneval_problems(params.humaneval, params.seed),
            params.humaneval_max_tokens,
        ),
    )
    model = runtime.load(artefact, threads=params.threads, context=params.context)
    try:
        rows = [
            row
            for problems, max_tokens in benchmarks
            for row in code_tasks.score(
                model,
                ChatTokenizer(artefact),
                problems,
                max_tokens=max_tokens,
                policy=params.policy,
                limits=sandbox.Limits(cpu_s=params.cpu_s),
                workers=params.threads,
            )
        ]
    finally:
        model.close()
    files.write_jsonl(out, rows)
    return rates.summary(rows)


if __name__ == "__main__":
    stage.run(main, Params)
