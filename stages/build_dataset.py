"""Turn accepted rows into chat rows in four formats; training and held-out rows share no family.

Reads   curated     folder: accepted.jsonl, reflect.jsonl
        prompts     folder with heldout.jsonl (task rows with references)
Writes  out         folder: train.jsonl, heldout.jsonl (messages; the last is the answer)
        metrics     rows by split and format; groups in both splits (0, or the stage fails)
"""

import random
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from potstill import files, stage
from potstill.data import dataset
from potstill.errors import InputError
from potstill.params import Section


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
    """Build both splits and prove that they do not touch."""
    accepted = list(files.read_jsonl(curated / "accepted.jsonl", ["code", "group", "origin"]))
    mined = [row for row in accepted if row["origin"] == "mined"]
    solved = [row for row in accepted if row["origin"] != "mined"]
    away = _held_out_modules({row["group"] for row in mined}, params)
    tasks = [
        {**task, "group": task["family"], "origin": "reference", "code": task["reference"]}
        for task in files.read_jsonl(prompts / "heldout.jsonl", ["family", "task"])
        if task["reference"]
    ]
    broken = list(files.read_jsonl(curated / "reflect.jsonl", ["error", "fix"]))
    sides = {
        "train": (solved, [r for r in mined if r["group"] not in away], broken),
        "heldout": (tasks, [r for r in mined if r["group"] in away], []),
    }
    out.mkdir()
    metrics, groups = {}, {}
    for side, (known, library, failed) in sides.items():
        most = params.max_train_rows if side == "train" else params.max_heldout_rows
        rows = _rows(params, known, library, failed, most)
        files.write_jsonl(out / f"{side}.jsonl", rows)
        groups[side] = {row["group"] for row in rows}
        counts = Counter(f"{side}_{row['format']}" for row in rows)
        metrics |= {f"{side}_rows": len(rows), **dict(sorted(counts.items()))}
    shared = groups["train"] & groups["heldout"]
    if shared:
        raise InputError(f"build_dataset: {', '.join(sorted(shared)[:5])} would be in both splits")
    return {**metrics, "groups_in_both_splits": len(shared)}


def _held_out_modules(modules: set[str], params: Params) -> set[str]:
    ranked = sorted(modules, key=lambda name: files.row_id(str(params.seed), name))
    return set(ranked[: round(len(ranked) * params.heldout_modules)])


def _rows(
    params: Params,
    known: list[dict[str, Any]],
    library: list[dict[str, Any]],
    failed: list[dict[str, Any]],
    most: int,
) -> list[dict[str, Any]]:
    source = random.Random(params.seed)
    code = round(most * params.shares.get("code", 0))
    library = sorted(library, key=lambda row: row["id"])[: round(code * params.mined_share)]
    source.shuffle(known)
    known_code = known[: code - len(library)]
    parts = {
        "plan": dataset.plan_rows(known),
        "code": dataset.code_rows([*known_code, *library], params.plan_in_prompt, source),
        "reflect": dataset.reflect_rows(failed),
        "decompose": dataset.decompose_rows(known, most, source),
    }
    return dataset.mix(parts, params.shares, most, params.seed)


if __name__ == "__main__":
    stage.run(main, Params)
