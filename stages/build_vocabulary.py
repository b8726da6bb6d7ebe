"""Choose the ids of the teacher's tokenizer that teacher and students keep.

An embedding is up to a third of a small model. Only the choice is made here; whoever reads a model
with this vocabulary cuts it.

Reads   teacher     checkpoint
        dataset     folder with train.jsonl, validation.jsonl and test.jsonl (messages)
        modules     JSONL of the source files of training modules: code as people write it
Writes  out         the tokenizer's files in the new numbering, vocabulary.json (new id -> old id)
        metrics     sizes; of validation and test the share of tokens kept, the growth by trimming
"""

from pathlib import Path

from potstill import files, stage
from potstill.models.chat import ChatTokenizer
from potstill.params import Section
from potstill.vocabulary import trimming


class Params(Section):
    """Settings of `build_vocabulary`."""

    size: int  # ids to keep; a multiple of 64 suits every kernel; 0 keeps all


def main(
    params: Params, *, teacher: Path, dataset: Path, modules: Path, out: Path
) -> dict[str, float]:
    """Choose the ids by training rows and training modules alone, then measure on the others."""
    tokenizer = ChatTokenizer(teacher)

    def texts(split: str) -> list[str]:
        rows = files.read_jsonl(dataset / f"{split}.jsonl", ["messages"])
        return [
            tokenizer.render(row["messages"], tools=row.get("tools"), add_generation_prompt=False)
            for row in rows
        ]

    written = (row["text"] for row in files.read_jsonl(modules, ["text"]))
    kept = trimming.choose(teacher, texts("train"), params.size, out, written)
    cut = ChatTokenizer(out)
    trimming.check_delimiters(tokenizer, cut, texts("train"))
    metrics: dict[str, float] = {"vocab_before": tokenizer.vocab_size, "vocab_after": len(kept)}
    for split in ("validation", "test"):
        found = trimming.measure(tokenizer, cut, kept, texts(split))
        metrics |= {f"{split}_{name}": value for name, value in found.items()}
    return metrics


if __name__ == "__main__":
    stage.run(main, Params)
