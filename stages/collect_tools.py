"""Collect rows that call tools, and rows that show tools and answer without: for `tool` shares.

Reads   prompts     folder with train.jsonl, validation.jsonl and test.jsonl (task rows)
Writes  out         folder: rows.jsonl, chat rows that hold calls as data (`native`); results.jsonl,
                    a key for each result that a tool returned
        metrics     rows that call and that do not; of BFCL's, those left out by reason
"""

from pathlib import Path
from typing import Annotated

from potstill import files, splits, stage
from potstill.data import bfcl, own_tools, tools
from potstill.mining import places
from potstill.params import Section
from potstill.sandbox import Mode
from pydantic import Field


class Params(Section):
    """Settings of `collect_tools`."""

    bfcl: str | None  # where bfcl-eval lies: archive:PATH of its wheel, folder:PATH, package:NAME
    max_tasks: Annotated[int, Field(ge=0)]  # of each split, from which the own tools' rows are made
    policy: str  # subset that check_subset asks about
    cpu_s: Annotated[float, Field(gt=0)]  # of one run
    workers: Annotated[int, Field(ge=1)]
    sandbox: Mode


def main(params: Params, *, prompts: Path, out: Path) -> dict[str, int]:
    """Run the own tools, read the others' rows, and check every call against its schema."""
    rows, dropped = bfcl.rows(places.find(params.bfcl, None)) if params.bfcl else ([], {})
    for split in splits.SPLITS if params.max_tasks else ():
        tasks = files.read_jsonl(prompts / f"{split}.jsonl", ["id", "family", "task", "reference"])
        chosen = sorted(tasks, key=lambda task: files.row_id("tools", task["id"]))
        settings = params.model_dump(include={"policy", "cpu_s", "workers"})
        rows += own_tools.rows(chosen[: params.max_tasks], mode=params.sandbox, **settings)
    for row in rows:
        tools.check(row)
    out.mkdir()
    files.write_jsonl(out / "rows.jsonl", rows)
    files.write_jsonl(out / "results.jsonl", [{"key": key} for key in tools.results(rows)])
    calls = sum(tools.calls(row) for row in rows)
    left_out = {f"rejected_{reason}": count for reason, count in sorted(dropped.items())}
    return {"rows_call": calls, "rows_direct": len(rows) - calls, **left_out}


if __name__ == "__main__":
    stage.run(main, Params)
