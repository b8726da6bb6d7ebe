"""Ask the teachers for training tasks and mined functions; keep their answers as they are.

Reads   teacher     checkpoint (asked where params name no other model and no endpoint)
        models      folder of the checkpoints that params may name
        prompts     folder with train.jsonl (task rows)
        functions   folder with functions.jsonl (mined ones, task rows)
        rounds      folder with files of `potstill round`
Writes  out         JSONL: task id, sample, text, why it ended, tokens, who answered, own request
        metrics     answers, requests, tokens, cost, refused, share that hit the length limit
"""

from pathlib import Path
from typing import Annotated

from potstill import files, stage
from potstill.sampling import asking, draw
from potstill.sampling.kept import Kept
from pydantic import Field


class Params(asking.Settings):
    """Settings of `sample_teacher`."""

    round: str | None  # file of `potstill round`: what the student fails at is asked more often
    max_rows: Annotated[int, Field(ge=1)]  # tasks, spread over the families
    max_length_share: Annotated[float, Field(ge=0, le=1)]  # answers that the limit may cut


def main(
    params: Params,
    *,
    teacher: Path,
    models: Path,
    prompts: Path,
    functions: Path,
    rounds: Path,
    out: Path,
) -> dict[str, float]:
    """Sample answers; those that were asked for before are not asked for again."""
    panel = asking.Panel(params, teacher, models)
    weights = draw.read(rounds / params.round) if params.round else {}
    tasks = panel.tasks(prompts / "train.jsonl", weights, params.max_rows)
    mined = panel.functions(functions / "functions.jsonl", params.mined.max_functions)
    found = asking.ask(panel, tasks, mined, Kept(stage.WORK / "answers"))
    files.write_jsonl(out, found.answers)
    return found.summary(params.max_length_share)


if __name__ == "__main__":
    stage.run(main, Params)
