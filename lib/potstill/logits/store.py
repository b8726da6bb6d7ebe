"""A teacher's cached distributions on disk: self-describing, resumable, refused when they differ.

A store is a folder: header.json says who made it (teacher, tokenizer, template, codec), each shard
is one safetensors file with the rows' keys in its metadata. A row's key is the hash of its token
ids, so shuffling, batching and resuming cannot misalign teacher and student: the fault that cached
distillation by row number has had elsewhere.

Codec `topk-tail`: per token the k most probable ids (int32), their log-probabilities at
temperature 1 (float16), and the log of the remaining mass (float32). A float16 log-probability
is off by at most 2^-11 of its size: 0.005 nats at log p = -10, where p is 0.00005.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from potstill import files
from potstill.errors import InputError
from potstill.logits.topk import TopK
from potstill.models.chat import ChatTokenizer

CODEC = "topk-tail-2"


@dataclass(frozen=True)
class Header:
    """What the distributions are; training compares it with what it needs."""

    teacher_sha256: str
    tokenizer_sha256: str
    template_sha256: str
    vocab_size: int
    k: int
    codec: str = CODEC


def tokenizer_hash(checkpoint: Path) -> str:
    """Return the hash of tokenizer.json: the numbering of ids that both sides must share."""
    return files.sha256_file(checkpoint / "tokenizer.json")


def template_hash(template: str) -> str:
    """Return the hash of a chat template's text."""
    return files.row_id(template)


def describe(teacher: Path, *, k: int) -> Header:
    """Return the header of a store that this teacher fills."""
    tokenizer = ChatTokenizer(teacher)
    return Header(
        teacher_sha256=files.sha256_tree(teacher),
        tokenizer_sha256=tokenizer_hash(teacher),
        template_sha256=template_hash(tokenizer.template),
        vocab_size=tokenizer.vocab_size,
        k=k,
    )


def write_shard(path: Path, rows: Iterable[tuple[str, TopK]]) -> None:
    """Write one shard atomically, so that a run that was killed finds whole shards or none."""
    rows = list(rows)
    lengths = {key: len(top.log_tail_N) for key, top in rows}
    tensors = {
        "ids": torch.cat([top.ids_NK for _, top in rows]).to(torch.int32),
        "log_probs": torch.cat([top.log_probs_NK for _, top in rows]).to(torch.float16),
        "log_tail": torch.cat([top.log_tail_N for _, top in rows]).to(torch.float32),
    }
    partial = files.partial_path(path)
    save_file(tensors, partial, metadata={"lengths": json.dumps(lengths)})
    files.publish(partial, path)


def write_header(folder: Path, header: Header) -> None:
    """Write header.json: the last file of a store."""
    files.write_json(folder / "header.json", asdict(header))


class LogitStore:
    """Read access to a store; shards are held in memory (about 6k + 4 bytes a token)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.header = Header(**files.read_json(folder / "header.json"))
        self._rows: dict[str, TopK] = {}
        for path in sorted(folder.glob("shard-*.safetensors")):
            self._read(path)

    def _read(self, path: Path) -> None:
        with safe_open(path, framework="pt") as shard:
            lengths = json.loads(shard.metadata()["lengths"])
            ids, probs = shard.get_tensor("ids"), shard.get_tensor("log_probs")
            tail = shard.get_tensor("log_tail")
        begin = 0
        for key, length in lengths.items():
            part = slice(begin, begin + length)
            self._rows[key] = TopK(ids[part], probs[part], tail[part])
            begin += length

    def __len__(self) -> int:
        return len(self._rows)

    def check(self, *, tokenizer_sha256: str, template_sha256: str) -> None:
        """Refuse to train from a store that was made for something else.

        Raises:
            InputError: names the first difference.
        """
        wanted = {
            "tokenizer_sha256": tokenizer_sha256,
            "template_sha256": template_sha256,
            "codec": CODEC,
        }
        for name, value in wanted.items():
            found = getattr(self.header, name)
            if found != value:
                raise InputError(
                    f"{self.folder}: the cached logits have {name} {found}, the student needs "
                    f"{value}: run cache_logits for this teacher and these settings"
                )

    def get(self, keys: Iterable[str]) -> TopK:
        """Return the distributions of rows, one after the other, ready for the loss.

        Raises:
            InputError: a row is not in the store.
        """
        try:
            rows = [self._rows[key] for key in keys]
        except KeyError as missing:
            raise InputError(
                f"{self.folder} has no row {missing}: the data set changed after caching; run "
                "cache_logits again"
            ) from None
        return TopK(
            torch.cat([row.ids_NK for row in rows]).long(),
            torch.cat([row.log_probs_NK for row in rows]).float(),
            torch.cat([row.log_tail_N for row in rows]),
        )
