"""Turn accepted rows into chat rows of several formats; the splits share no family, no module.

Reads   curated     folder: accepted.jsonl, reflect.jsonl, rejected.jsonl
        prompts     folder with validation.jsonl and test.jsonl (task rows with references)
        tools       folder: rows.jsonl (native tool rows), results.jsonl (what tools returned)
Writes  out         folder: train.jsonl, validation.jsonl, test.jsonl (messages; the last is the
                    answer); pairs.jsonl: a chosen and a rejected answer to one prompt
        metrics     pairs; rows by split and format, and how many end with a teacher's answer
"""

from collections import Counter
from pathlib import Path
from typing import Annotated, Literal

from potstill import files, stage
from potstill.data import audit, dataset, sources
from potstill.data.pairs import pair_rows
from potstill.data.tool_formats import ToolFormat
from potstill.models.formats import Format
from potstill.params import Section
from pydantic import Field


class Params(Section):
    """Settings of `build_dataset`."""

    max_train_rows: Annotated[int, Field(ge=1)]
    max_validation_rows: Annotated[int, Field(ge=1)]
    max_test_rows: Annotated[int, Field(ge=1)]
    shares: dict[Format, float]  # of the rows of each format
    share_tolerance: Annotated[float, Field(gt=0, le=1)]  # by which they may miss it
    span_weights: dict[Format | Literal["name", "arguments"], float]  # of the loss; 1 if not named
    call_share: Annotated[float, Field(ge=0, le=1)]  # of tool rows: those that call one
    tool_format: ToolFormat  # how calls are written
    plan_in_prompt: Annotated[float, Field(ge=0, le=1)]  # share of code rows that show the plan
    mined_share: Annotated[float, Field(ge=0, le=1)]  # of code rows
    teacher_share: Annotated[float, Field(ge=0, le=1)]  # of code rows, where it has so many answers
    mined_languages: dict[Literal["python", "javascript"], float]  # shares of the mined rows
    seed: int


def main(params: Params, *, curated: Path, prompts: Path, tools: Path, out: Path) -> dict[str, int]:
    """Build the splits; the library proves that they do not touch, and what their rows are."""
    found, recipe = sources.read(curated, prompts, tools), dataset.Recipe(**params.model_dump())
    splits = dataset.build(found, recipe)
    for split, rows in splits.items():
        audit.audit(rows, recipe, found.results, whole=split == "train")
    out.mkdir()
    pairs = pair_rows(found.accepted, found.rejected)
    files.write_jsonl(out / "pairs.jsonl", pairs)
    metrics = {"pairs": sum(row["format"] == "rejected" for row in pairs)}
    for split, rows in splits.items():
        counts = Counter(f"{split}_{row['format']}" for row in rows)
        counts[f"{split}_from_teacher"] = sum(row["origin"] == "teacher" for row in rows)
        metrics |= {f"{split}_rows": files.write_jsonl(out / f"{split}.jsonl", rows), **counts}
    return metrics


if __name__ == "__main__":
    stage.run(main, Params)
