"""Let an artefact solve tasks through its own runtime, and count what passes.

Reads   artefact    exported artefact
        prompts     folder of task rows by split
        problems    folder of benchmarks' files
        teacher     the teacher's logits at each token of test answers
Writes  out         JSONL: one row an answer, with its code and why it failed
        metrics     of each task: a verdict, rates with 95 % intervals, what they were measured on
"""

from pathlib import Path
from typing import Annotated, Any

from potstill import files, stage, tasks
from potstill.evaluate import rates, scoring
from potstill.tasks.where import FolderSources, Where, below
from pydantic import Field, model_validator


class Params(scoring.Settings):
    """What exports share from `benchmarks` and `scoring`; other keys are tasks of this one."""

    sources: FolderSources
    tasks: dict[str, Annotated[int, Field(ge=0)]]  # task -> how many of its problems

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, values: dict[str, Any]) -> dict[str, Any]:
        settings = {name: value for name, value in values.items() if name in cls.model_fields}
        asked = {name: value for name, value in values.items() if name not in settings}
        tasks.check_names(asked)
        return {"tasks": asked} | settings


def main(
    params: Params,
    *,
    artefact: Path,
    prompts: Path,
    problems: Path,
    teacher: Path,
    out: Path,
    scratch: Path,
) -> dict[str, Any]:
    """Generate, execute, count."""
    how = params.model_copy(update={"sources": below(params.sources, problems)})
    where = Where(how.sources, prompts, teacher, how.split, how.policy)
    found = scoring.find(params.tasks, where)
    scores = scoring.score_artefact(artefact, params.tasks, found, how, where, scratch)
    files.write_jsonl(out, scores.rows)
    return rates.summary(scores)


if __name__ == "__main__":
    stage.run(main, Params)
