"""Collect the tasks: the built-in katas and any JSONL files, split by family.

Reads   extra       folder; each *.jsonl in it holds tasks of your own
Writes  out         folder with train.jsonl and heldout.jsonl (task rows)
        metrics     rows and families of each split
"""

from pathlib import Path
from typing import Annotated

from potstill import files, katas, stage
from potstill.data import prompts
from potstill.errors import InputError
from potstill.params import Section
from pydantic import Field

ByLevel = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=4, max_length=4)]


class Params(Section):
    """Settings of `collect_prompts`."""

    train_per_family: ByLevel  # instances of a kata family in each language, by level 1 to 4
    heldout_per_family: ByLevel
    heldout_share: Annotated[float, Field(gt=0, lt=1)]  # of the families of each level
    languages: list[str]
    seed: int


def main(params: Params, *, extra: Path, out: Path) -> dict[str, int]:
    """Split families, not rows: no held-out task has a sibling in the training set."""
    most = max(*params.train_per_family, *params.heldout_per_family)
    rows = list(katas.instances(params.seed, most, params.languages))
    rows += prompts.read_extra(extra)
    limits = {"train": params.train_per_family, "heldout": params.heldout_per_family}
    split: dict[str, list[dict]] = {"train": [], "heldout": []}
    taken: dict[tuple[str, str], int] = {}
    for row in rows:
        side = katas.split(row["family"], params.heldout_share)
        key = (row["family"], row["language"])
        taken[key] = taken.get(key, 0) + 1
        if not row["level"] or taken[key] <= limits[side][row["level"] - 1]:
            split[side].append(row)
    out.mkdir()
    metrics = {}
    for name, chosen in split.items():
        if not chosen:
            raise InputError(f"collect_prompts: no {name} tasks: change heldout_share or languages")
        metrics[f"{name}_rows"] = files.write_jsonl(out / f"{name}.jsonl", chosen)
        metrics[f"{name}_families"] = len({row["family"] for row in chosen})
    return metrics


if __name__ == "__main__":
    stage.run(main, Params)
