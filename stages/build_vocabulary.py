"""Choose the ids of the teacher's tokenizer that teacher and students keep.

An embedding is up to a third of a small model. Only the choice is made here; whoever reads a model
with this vocabulary cuts it.

Reads   teacher     checkpoint
        dataset     folder with train.jsonl, validation.jsonl and test.jsonl (messages)
        functions   JSONL of mined functions; the docstrings of the training modules are read
Writes  out         the tokenizer's files in the new numbering, vocabulary.json (new id -> old id)
        metrics     sizes; of validation and test the share of tokens kept, the growth by trimming
"""

from pathlib import Path

from potstill import files, splits, stage
from potstill.models.chat import ChatTokenizer
from potstill.params import Section
from potstill.students import trimming


class Params(Section):
    """Settings of `build_vocabulary`."""

    size: int  # ids to keep; a multiple of 64 suits every kernel; 0 keeps all


def main(
    params: Params, *, teacher: Path, dataset: Path, functions: Path, out: Path
) -> dict[str, float]:
    """Choose the ids by the training data alone, then measure on the others."""
    tokenizer = ChatTokenizer(teacher)

    def texts(split: str) -> list[str]:
        rows = files.read_jsonl(dataset / f"{split}.jsonl", ["messages"])
        return [
            tokenizer.render(row["messages"], tools=row.get("tools"), add_generation_prompt=False)
            for row in rows
        ]

    # Docstrings bring the words in which tasks are asked.
    mined = files.read_jsonl(functions, ["docstring", "group"])
    words = (row["docstring"] for row in mined if splits.split(row["group"]) == "train")
    kept = trimming.choose(teacher, [*texts("train"), *words], params.size, out)
    cut = ChatTokenizer(out)
    trimming.check_delimiters(tokenizer, cut, texts("train"))
    metrics: dict[str, float] = {"vocab_before": tokenizer.vocab_size, "vocab_after": len(kept)}
    for split in ("validation", "test"):
        found = trimming.measure(tokenizer, cut, kept, texts(split))
        metrics |= {f"{split}_{name}": value for name, value in found.items()}
    return metrics


if __name__ == "__main__":
    stage.run(main, Params)
