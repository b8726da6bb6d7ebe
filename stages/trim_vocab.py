"""Cut the teacher's vocabulary to what the task uses; embedding rows and merges go together.

Reads   teacher     checkpoint
        dataset     folder with train.jsonl and heldout.jsonl (messages)
        functions   JSONL of mined functions (code), read for their words
Writes  out         checkpoint with the small vocabulary and kept_ids.json (new id -> old id)
        metrics     sizes, share of held-out tokens kept, tokens added by the trimming
"""

from pathlib import Path

from potstill import files, stage
from potstill.models import checkpoint, vocabulary
from potstill.models.chat import ChatTokenizer
from potstill.params import Section


class Params(Section):
    """Settings of `trim_vocab`."""

    size: int  # ids to keep; a multiple of 64 suits every kernel; 0 keeps all


def main(
    params: Params, *, teacher: Path, dataset: Path, functions: Path, out: Path
) -> dict[str, float]:
    """Choose the ids by the training data alone, then measure on the held-out data."""
    tokenizer = ChatTokenizer(teacher)
    source = files.read_json(teacher / "tokenizer.json")

    def texts(name: str) -> list[str]:
        rows = files.read_jsonl(dataset / name, ["messages"])
        return [tokenizer.render(row["messages"], add_generation_prompt=False) for row in rows]

    corpus = texts("train.jsonl") + [row["code"] for row in files.read_jsonl(functions, ["code"])]
    counts = vocabulary.count_tokens(tokenizer.encode(text) for text in corpus)
    kept = vocabulary.trim(source, counts, params.size or tokenizer.vocab_size)

    state = checkpoint.read_state(teacher)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        if name in state:
            state[name] = state[name][kept]
    out.mkdir()
    files.write_json(out / "tokenizer.json", vocabulary.rewrite(source, kept))
    for name in ("config.json", "generation_config.json"):
        config = files.read_json(teacher / name)
        files.write_json(out / name, vocabulary.renumber_config(config, kept))
    checkpoint.write(out, state, checkpoint.read_config(out), beside=teacher)
    files.write_json(out / "kept_ids.json", kept)

    trimmed, held = ChatTokenizer(out), texts("heldout.jsonl")
    before = [tokenizer.encode(text) for text in held]
    after = sum(len(trimmed.encode(text)) for text in held)
    kept_set, total = set(kept), sum(len(ids) for ids in before)
    return {
        "vocab_before": tokenizer.vocab_size,
        "vocab_after": len(kept),
        "heldout_kept_share": sum(i in kept_set for ids in before for i in ids) / total,
        "heldout_token_growth": after / total,
        "heldout_tokens": total,
        "num_parameters": checkpoint.count_parameters(out),
    }


if __name__ == "__main__":
    stage.run(main, Params)
