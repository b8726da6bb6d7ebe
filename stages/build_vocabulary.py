"""Choose the ids of the teacher's tokenizer that teacher and students keep.

An embedding is up to a third of a small model. Only the choice is made here; whoever reads a model
with this vocabulary cuts it.

Reads   teacher     checkpoint
        dataset     folder with train.jsonl and heldout.jsonl (messages)
        functions   JSONL of mined functions, read for the words of their docstrings
Writes  out         the tokenizer's files in the new numbering, vocabulary.json (new id -> old id)
        metrics     sizes, share of held-out tokens kept, tokens added by the trimming
"""

from pathlib import Path

from potstill import files, stage
from potstill.models.chat import ChatTokenizer
from potstill.params import Section
from potstill.students import trimming


class Params(Section):
    """Settings of `build_vocabulary`."""

    size: int  # ids to keep; a multiple of 64 suits every kernel; 0 keeps all


def main(
    params: Params, *, teacher: Path, dataset: Path, functions: Path, out: Path
) -> dict[str, float]:
    """Choose the ids by the training data alone, then measure on the held-out data."""
    tokenizer = ChatTokenizer(teacher)

    def texts(side: str) -> list[str]:
        rows = files.read_jsonl(dataset / f"{side}.jsonl", ["messages"])
        return [tokenizer.render(row["messages"], add_generation_prompt=False) for row in rows]

    # Docstrings bring the words in which tasks are asked.
    words = (row["docstring"] for row in files.read_jsonl(functions, ["docstring"]))
    kept = trimming.choose(teacher, [*texts("train"), *words], params.size, out)
    return {
        "vocab_before": tokenizer.vocab_size,
        "vocab_after": len(kept),
        **trimming.measure(tokenizer, ChatTokenizer(out), kept, texts("heldout")),
    }


if __name__ == "__main__":
    stage.run(main, Params)
