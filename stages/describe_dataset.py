"""Certify the training rows against evaluation tasks and show the data set on one page.

Reads   dataset     folder of chat rows, one JSONL a split
        curated     folder with accepted.jsonl and rejected.jsonl
        prompts     folder of task rows: the held-out ones are an evaluation task
        problems    folder of benchmarks' files
Writes  out         folder: card.html, and certificate.json with what the rows were compared with
        metrics     rows; texts that they were compared with; rows that are hits and suspects
"""

from collections import Counter
from pathlib import Path

from potstill import files, splits, stage
from potstill.card import card, certificate
from potstill.curation import contamination, wording
from potstill.tasks.where import Where, below


class Params(contamination.Settings):
    """Settings of `benchmarks` and `decontamination`; this stage has none of its own."""


def main(
    params: Params, *, dataset: Path, curated: Path, prompts: Path, problems: Path, out: Path
) -> dict[str, int]:
    """Compare the rows as they are trained on, and write both."""
    texts = contamination.known(Where(below(params.sources, problems), prompts))
    benchmarks = contamination.Benchmarks(texts, params.ngram_words, params.code_jaccard)
    rejected = list(files.read_jsonl(curated / "rejected.jsonl", ("id", "reason", "detail")))
    accepted = files.read_jsonl(curated / "accepted.jsonl", ("task",))
    told = Counter(wording.language(row["task"]) for row in accepted)
    certified = certificate.certify(dataset, rejected, benchmarks)
    rows = {name: list(files.read_jsonl(dataset / f"{name}.jsonl")) for name in splits.SPLITS}
    out.mkdir()
    files.write_json(out / "certificate.json", certified)
    files.write_text(out / "card.html", card.render(rows, rejected, told, certified))
    hits = {one["row"] for one in certified["likenesses"] if one["is_hit"]}
    alike = {one["row"] for one in certified["likenesses"]}
    return {
        "num_rows": certified["num_rows"],
        "benchmark_texts": contamination.count(texts),
        "num_hits": len(hits),
        "num_suspects": len(alike - hits),
    }


if __name__ == "__main__":
    stage.run(main, Params)
