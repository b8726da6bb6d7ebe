"""Turn accepted rows into chat rows of several formats; the splits share no family, no module.

Reads   curated     folder: accepted.jsonl, reflect.jsonl, rejected.jsonl
        prompts     folder with validation.jsonl and test.jsonl (task rows with references)
        tools       folder: rows.jsonl (native tool rows), results.jsonl (what tools returned)
Writes  out         folder: SPLIT.jsonl (messages; the answer last), pairs.jsonl (chosen, rejected)
        metrics     pairs; rows by split and format, and how many end with a teacher's answer
"""

from collections import Counter
from pathlib import Path

from potstill import files, stage
from potstill.data import audit, dataset, sources
from potstill.data.dataset import Recipe as Params
from potstill.data.pairs import pair_rows


def main(params: Params, *, curated: Path, prompts: Path, tools: Path, out: Path) -> dict[str, int]:
    """Build the splits; the library proves that they do not touch, and what their rows are."""
    found = sources.read(curated, prompts, tools)
    splits = dataset.build(found, params)
    for split, rows in splits.items():
        audit.audit(rows, params, found.results, whole=split == "train")
    out.mkdir()
    pairs = pair_rows(found.accepted, found.rejected, fenced=params.fenced)
    files.write_jsonl(out / "pairs.jsonl", pairs)
    metrics = {"pairs": sum(row["format"] == "rejected" for row in pairs)}
    for split, rows in splits.items():
        counts = Counter(f"{split}_{row['format']}" for row in rows)
        counts[f"{split}_from_teacher"] = sum(row["origin"] == "teacher" for row in rows)
        metrics |= {f"{split}_rows": files.write_jsonl(out / f"{split}.jsonl", rows), **counts}
    return metrics


if __name__ == "__main__":
    stage.run(main, Params)
