"""One vocabulary for a teacher and all who follow it: chosen once, cut into any number of models.

A vocabulary folder holds the tokenizer's files in the new numbering, the template and end ids of
the model that it was chosen from, and vocabulary.json: the numbering that it was cut from (a hash)
and `kept_ids` (new id -> old id).
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from potstill import files
from potstill.errors import InputError
from potstill.models import checkpoint
from potstill.models.chat import ChatTokenizer
from potstill.models.formats import DELIMITERS
from potstill.vocabulary import bpe

NAME = "vocabulary.json"
EMBEDDINGS = ("model.embed_tokens.weight", "lm_head.weight")


def choose(
    teacher: Path, rows: Iterable[str], size: int, out: Path, more: Iterable[str] = ()
) -> list[int]:
    """Write the vocabulary folder that texts ask for and return its kept ids (new id -> old).

    A student cannot write a token that it lost: where its habit was that token, it writes the next
    best one, `len lst)` for `len(lst)`. So what it may have to write counts, not the rows alone.

    Args:
        teacher: the checkpoint whose tokenizer is cut.
        rows: texts that are trained on; no other token is kept before theirs.
        size: ids to keep; 0 keeps every id that the tokenizer has.
        out: the folder to write.
        more: texts like those that the student will read and write, whose tokens fill up.

    Raises:
        InputError: see `bpe.trim`.
    """
    tokenizer = ChatTokenizer(teacher)
    source = files.read_json(teacher / "tokenizer.json")
    if size:
        kinds = [bpe.count_tokens(map(tokenizer.encode, texts)) for texts in (rows, more)]
        kept = bpe.trim(source, kinds, size)
    else:
        kept = list(range(tokenizer.vocab_size))
    out.mkdir()
    files.write_json(out / "tokenizer.json", bpe.rewrite(source, kept))
    config = files.read_json(teacher / "tokenizer_config.json")
    files.write_json(out / "tokenizer_config.json", bpe.rewrite_config(config, kept))
    generation = teacher / "generation_config.json"
    ids = files.read_json(generation if generation.exists() else teacher / "config.json")
    ids = {key: value for key, value in ids.items() if key in bpe.SPECIAL_IDS}
    files.write_json(out / "generation_config.json", bpe.renumber_config(ids, kept))
    for name in checkpoint.TOKENIZER_FILES:
        if (teacher / name).exists() and not (out / name).exists():
            shutil.copyfile(teacher / name, out / name)
    files.write_json(out / NAME, {"source": numbering(source), "kept_ids": kept})
    return kept


def numbering(tokenizer: dict[str, Any]) -> str:
    """Return a hash of what decides a text's ids: two tokenizers with the same one are equal."""
    model = tokenizer["model"]
    said = {
        "model": {key: model.get(key) for key in ("type", "vocab", "merges")},
        "added": [[entry["id"], entry["content"]] for entry in tokenizer["added_tokens"]],
        "rules": [tokenizer.get("normalizer"), tokenizer.get("pre_tokenizer")],
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def kept_ids(folder: Path) -> list[int]:
    """Return of each id of a vocabulary folder its number in the tokenizer it was cut from."""
    found: list[int] = files.read_json(folder / NAME)["kept_ids"]
    return found


def shared_ids(folder: Path, student: Path) -> list[int] | None:
    """Return a student's ids in the teacher's numbering; None where they are the same.

    Args:
        folder: of the vocabulary that teacher and students share.
        student: a checkpoint.

    Raises:
        InputError: the student has neither that vocabulary nor the teacher's whole one.
    """
    own = numbering(files.read_json(student / "tokenizer.json"))
    if own == numbering(files.read_json(folder / "tokenizer.json")):
        return kept_ids(folder)
    if own == files.read_json(folder / NAME)["source"]:
        return None
    raise InputError(f"{student} has another tokenizer than the teacher: its ids mean other tokens")


def apply(folder: Path, source: Path, out: Path) -> None:
    """Write the checkpoint `source` with the vocabulary of a folder; a model that has it is linked.

    Rows of the embedding beyond the tokenizer's ids (padding) are left out.

    Raises:
        InputError: the checkpoint's tokenizer is neither the vocabulary's nor the one it was cut
            from.
    """
    chosen = files.read_json(folder / NAME)
    tokenizer = files.read_json(source / "tokenizer.json")
    is_cut = numbering(tokenizer) == numbering(files.read_json(folder / "tokenizer.json"))
    if not is_cut and numbering(tokenizer) != chosen["source"]:
        raise InputError(
            f"{source} has another tokenizer than the teacher, so no distribution of the teacher's "
            "fits it: take a model of the teacher's family, or set `vocabulary: whole` and train "
            "it on labels alone (alpha 1.0)"
        )
    config, kept = checkpoint.read_config(source), chosen["kept_ids"]
    if is_cut or len(kept) == config["vocab_size"]:
        link(source, out)
    else:
        state = checkpoint.read_state(source)
        for name in EMBEDDINGS:
            if name in state:
                state[name] = state[name][kept]
        config = bpe.renumber_config(config, kept)
        checkpoint.write(out, state, config, beside=folder)
    for name in (*checkpoint.TOKENIZER_FILES, "generation_config.json"):
        files.remove(out / name)
        if (folder / name).exists():
            shutil.copyfile(folder / name, out / name)
    for name in ("origin.json", checkpoint.LINEAGE):
        if (source / name).exists():
            files.remove(out / name)
            shutil.copyfile(source / name, out / name)


def link(source: Path, out: Path) -> None:
    """Make a folder of links to a checkpoint's files; see `checkpoint.link`.

    A student's adapter, which lies in a folder of its own, is in the weights already.
    """
    out.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        if path.is_file():
            checkpoint.link(path, out / path.name)


def check_delimiters(full: ChatTokenizer, trimmed: ChatTokenizer, texts: Sequence[str]) -> None:
    """Check that what delimits a call or a thought is one id, where the full vocabulary has one.

    Raises:
        InputError: it falls apart, so a runtime cannot stop or parse at it.
    """
    for delimiter in DELIMITERS:
        if full.tokenizer.token_to_id(delimiter) is None:
            continue
        if not any(delimiter in text for text in texts):
            continue
        for chat in (full, trimmed):
            num_ids = len(chat.encode(delimiter))
            if num_ids != 1:
                raise InputError(
                    f"{chat.folder}: {delimiter} is one entry of the vocabulary and is read as "
                    f"{num_ids} ids: add it to added_tokens of tokenizer.json"
                )


def measure(
    full: ChatTokenizer, trimmed: ChatTokenizer, kept: Sequence[int], texts: Sequence[str]
) -> dict[str, float]:
    """Return what trimming does to texts that the choice did not see."""
    before, kept_set = [full.encode(text) for text in texts], set(kept)
    total = sum(len(ids) for ids in before)
    after = sum(len(trimmed.encode(text)) for text in texts)
    return {
        "kept_share": sum(i in kept_set for ids in before for i in ids) / total,
        "token_growth": after / total,
        "tokens": total,
    }
