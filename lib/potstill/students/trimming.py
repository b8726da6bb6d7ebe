"""Cut a checkpoint's vocabulary: tokenizer, embedding rows, head and special ids together."""

from collections.abc import Sequence
from pathlib import Path

from potstill import files
from potstill.models import checkpoint
from potstill.models.chat import ChatTokenizer
from potstill.students import vocabulary


def trim_checkpoint(teacher: Path, corpus: Sequence[str], size: int, out: Path) -> list[int]:
    """Write the trimmed checkpoint with kept_ids.json (new id -> old id) and return that list.

    Args:
        teacher: the whole checkpoint.
        corpus: texts whose tokens are worth keeping, most used first.
        size: ids to keep; 0 keeps every id that the tokenizer has.
        out: the folder to write.

    Raises:
        InputError: see `vocabulary.trim`.
    """
    tokenizer = ChatTokenizer(teacher)
    source = files.read_json(teacher / "tokenizer.json")
    if size:
        counts = vocabulary.count_tokens(tokenizer.encode(text) for text in corpus)
        kept = vocabulary.trim(source, counts, size)
    else:
        kept = list(range(tokenizer.vocab_size))
    state = checkpoint.read_state(teacher)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        if name in state:
            state[name] = state[name][kept]
    out.mkdir()
    files.write_json(out / "tokenizer.json", vocabulary.rewrite(source, kept))
    for name in ("config.json", "generation_config.json"):
        if (teacher / name).exists():
            config = files.read_json(teacher / name)
            files.write_json(out / name, vocabulary.renumber_config(config, kept))
    checkpoint.write(out, state, checkpoint.read_config(out), beside=teacher)
    files.write_json(out / "kept_ids.json", kept)
    return kept


def measure(
    full: ChatTokenizer, trimmed: ChatTokenizer, kept: Sequence[int], texts: Sequence[str]
) -> dict[str, float]:
    """Return what trimming does to texts that the choice did not see."""
    before, kept_set = [full.encode(text) for text in texts], set(kept)
    total = sum(len(ids) for ids in before)
    after = sum(len(trimmed.encode(text)) for text in texts)
    return {
        "heldout_kept_share": sum(i in kept_set for ids in before for i in ids) / total,
        "heldout_token_growth": after / total,
        "heldout_tokens": total,
    }
