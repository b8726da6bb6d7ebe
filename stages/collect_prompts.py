"""Collect the tasks: the built-in katas and your own, of files and the hub, split by family.

Reads   extra       folder; each *.jsonl and *.parquet in it holds tasks of your own
Writes  out         folder with train.jsonl, validation.jsonl and test.jsonl (task rows)
        metrics     rows and families of each split; rows of the hub that are no task
"""

from pathlib import Path
from typing import Annotated, Any

from potstill import files, katas, splits, stage
from potstill.data import prompts, tables
from potstill.errors import InputError
from potstill.params import Section
from potstill.splits import Split
from pydantic import Field

ByLevel = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=4, max_length=4)]


class Params(Section):
    """Settings of `collect_prompts`."""

    train_per_family: ByLevel  # instances of a kata family in each language, by level 1 to 4
    validation_per_family: ByLevel
    test_per_family: ByLevel
    languages: list[str]
    sources: list[tables.DataSet]  # data sets of the hub
    seed: int


def main(params: Params, *, extra: Path, out: Path) -> dict[str, int]:
    """Split families, not rows: no validation or test task has a sibling in the training set."""
    limits = {
        "train": params.train_per_family,
        "validation": params.validation_per_family,
        "test": params.test_per_family,
    }
    rows = katas.instances(params.seed, max(map(max, limits.values())), params.languages)
    found: dict[Split, list[dict[str, Any]]] = {name: [] for name in splits.SPLITS}
    taken: dict[tuple[str, str], int] = {}
    others, num_wrong = prompts.read_hub(params.sources)
    for row in [*rows, *prompts.read_extra(extra), *others]:
        name = splits.split(row["family"])
        key = (row["family"], row["language"])
        taken[key] = taken.get(key, 0) + 1
        if not row["level"] or taken[key] <= limits[name][row["level"] - 1]:
            found[name].append(row)
    out.mkdir()
    metrics = {"rejected_not_a_task": num_wrong}
    for name, chosen in found.items():
        if not chosen:
            raise InputError(f"collect_prompts: no {name} tasks: raise {name}_per_family")
        metrics[f"{name}_rows"] = files.write_jsonl(out / f"{name}.jsonl", chosen)
        metrics[f"{name}_families"] = len({row["family"] for row in chosen})
    return metrics


if __name__ == "__main__":
    stage.run(main, Params)
