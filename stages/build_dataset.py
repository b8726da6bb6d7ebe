"""Turn accepted rows into chat rows in four formats; the three splits share no family, no module.

Reads   curated     folder: accepted.jsonl, reflect.jsonl, rejected.jsonl
        prompts     folder with validation.jsonl and test.jsonl (task rows with references)
Writes  out         folder: train.jsonl, validation.jsonl, test.jsonl (messages; the last is the
                    answer); pairs.jsonl, of training families: two answers to one prompt, of format
                    chosen, which passed its tests, and rejected, which failed them
        metrics     pairs; rows by split and format
"""

from collections import Counter
from pathlib import Path
from typing import Annotated

from potstill import files, stage
from potstill.data import dataset
from potstill.params import Section
from potstill.splits import Split
from pydantic import Field


class Params(Section):
    """Settings of `build_dataset`."""

    max_train_rows: Annotated[int, Field(ge=1)]
    max_validation_rows: Annotated[int, Field(ge=1)]
    max_test_rows: Annotated[int, Field(ge=1)]
    shares: dict[str, float]  # of plan, code, reflect and decompose rows
    plan_in_prompt: Annotated[float, Field(ge=0, le=1)]  # share of code rows that show the plan
    mined_share: Annotated[float, Field(ge=0, le=1)]  # of code rows
    seed: int


def main(params: Params, *, curated: Path, prompts: Path, out: Path) -> dict[str, int]:
    """Build the splits; the library proves that they do not touch."""

    def tasks(split: Split) -> list[dataset.Row]:
        return list(files.read_jsonl(prompts / f"{split}.jsonl", ["family", "task"]))

    accepted = list(files.read_jsonl(curated / "accepted.jsonl", ["code", "group", "origin"]))
    rejected = files.read_jsonl(curated / "rejected.jsonl", ["code", "group", "reason"])
    splits = dataset.build(
        accepted=accepted,
        broken=list(files.read_jsonl(curated / "reflect.jsonl", ["error", "fix"])),
        tasks={"validation": tasks("validation"), "test": tasks("test")},
        recipe=dataset.Recipe(**params.model_dump()),
    )
    out.mkdir()
    pairs = dataset.pair_rows(accepted, rejected)
    files.write_jsonl(out / "pairs.jsonl", pairs)
    metrics = {"pairs": sum(row["format"] == "rejected" for row in pairs)}
    for split, rows in splits.items():
        counts = Counter(f"{split}_{row['format']}" for row in rows)
        metrics |= {f"{split}_rows": files.write_jsonl(out / f"{split}.jsonl", rows), **counts}
    return metrics


if __name__ == "__main__":
    stage.run(main, Params)
