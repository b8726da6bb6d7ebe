"""Turn accepted rows into chat rows in four formats; training and held-out rows share no family.

Reads   curated     folder: accepted.jsonl, reflect.jsonl
        prompts     folder with heldout.jsonl (task rows with references)
Writes  out         folder: train.jsonl, heldout.jsonl (messages; the last is the answer)
        metrics     rows by split and format; groups in both splits (0, or the stage fails)
"""

from collections import Counter
from pathlib import Path
from typing import Annotated

from potstill import files, stage
from potstill.data import dataset
from potstill.params import Section
from pydantic import Field


class Params(Section):
    """Settings of `build_dataset`."""

    max_train_rows: Annotated[int, Field(ge=1)]
    max_heldout_rows: Annotated[int, Field(ge=1)]
    shares: dict[str, float]  # of plan, code, reflect and decompose rows
    plan_in_prompt: Annotated[float, Field(ge=0, le=1)]  # share of code rows that show the plan
    mined_share: Annotated[float, Field(ge=0, le=1)]  # of code rows
    heldout_modules: Annotated[float, Field(ge=0, lt=1)]  # share of mined modules held out
    seed: int


def main(params: Params, *, curated: Path, prompts: Path, out: Path) -> dict[str, int]:
    """Build both splits; the library proves that they do not touch."""
    splits = dataset.build(
        accepted=list(files.read_jsonl(curated / "accepted.jsonl", ["code", "group", "origin"])),
        broken=list(files.read_jsonl(curated / "reflect.jsonl", ["error", "fix"])),
        heldout_tasks=list(files.read_jsonl(prompts / "heldout.jsonl", ["family", "task"])),
        recipe=dataset.Recipe(**params.model_dump()),
    )
    out.mkdir()
    metrics: dict[str, int] = {}
    for side, rows in splits.items():
        counts = Counter(f"{side}_{row['format']}" for row in rows)
        metrics |= {f"{side}_rows": files.write_jsonl(out / f"{side}.jsonl", rows), **counts}
    return metrics


if __name__ == "__main__":
    stage.run(main, Params)
