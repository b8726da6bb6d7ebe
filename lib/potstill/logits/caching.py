"""Run the teacher once over rows and keep its distributions.

Rows may come from an iterator: they are taken a window at a time, batched by length inside it, and
each window's distributions become one part (see `logits.parts`). The teacher's logits exist for one
chunk of tokens at a time, cut to the tokenizer's ids before they are normalised: what a padded head
says of ids that no tokenizer has is no probability.
"""

import itertools
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import functional

from potstill import files, progress
from potstill.errors import InputError
from potstill.loading.head import blocks
from potstill.loading.load import CausalLM
from potstill.logits import assembly, parts
from potstill.logits import store as logit_store
from potstill.logits.codecs import CODECS, Blob, Codec, Place, Signal
from potstill.logits.parts import Part
from potstill.logits.quantiles import Quantiles
from potstill.logits.store import LIVE, Header
from potstill.models.chat import ChatTokenizer
from potstill.tokens import examples, folds, packing
from potstill.tokens.examples import Example
from potstill.tokens.table import MappedRows

SHARES = {"p01": 0.01, "p05": 0.05, "p10": 0.1, "p50": 0.5}
log = logging.getLogger("potstill")


@dataclass(frozen=True)
class Batching:
    """How the work is cut; no distribution depends on it but in its last bits.

    Attributes:
        rows: of one forward pass.
        chunk_tokens: tokens whose logits exist at a time.
        per_part: batches of a part, which is what a killed run loses.
    """

    rows: int
    chunk_tokens: int = 256
    per_part: int = 16


def describe(teacher: Path, *, codec: str, k: int, seed: int, allow_seen: bool = False) -> Header:
    """Return the header of the signal that this teacher gives.

    Raises:
        InputError: there is no such codec.
    """
    tokenizer = ChatTokenizer(teacher)
    stored = codec != LIVE
    return Header(
        teacher_sha256=files.sha256_tree(teacher),
        **tokenizer.hashes(),
        # not the number of tokens: ids may have holes
        vocab_size=max(tokenizer.tokenizer.get_vocab(with_added_tokens=True).values()) + 1,
        codec=codec,
        version=CODECS[codec].VERSION if stored else 0,
        k=k if stored else 0,
        seed=seed if stored else 0,
        teacher=teacher.as_posix(),
        seen_folds=folds.trained_on(teacher),
        allow_seen=allow_seen,
    )


def scored(rows: MappedRows, header: Header, most: int | None) -> MappedRows:
    """Return the rows that a teacher scores: those of folds that it was not trained on.

    Args:
        rows: of the training set.
        header: of the signal.
        most: rows of each fold, so that students on any folds find as many; None takes all.

    Raises:
        InputError: none is left.
    """
    seen = [] if header.allow_seen else header.seen_folds
    left = [fold for fold in folds.FOLDS if fold not in seen]
    if not left:
        raise InputError(
            f"{header.teacher} was trained on rows of all folds, so none is left that it may "
            "score: train it on one (`folds` of `teachers` or `students`), or state allow_seen"
        )
    return rows.of_folds(left, most)


def cache(
    teacher: CausalLM,
    rows: Iterable[Example],
    out: Path,
    header: Header,
    batching: Batching,
    *,
    scratch: Path,
) -> dict[str, float]:
    """Write the store of some rows; parts that are in `scratch` already are not made again.

    Returns:
        num_rows, num_tokens, bytes_per_token (all files of the store), and what the codec measures
        of each token as mean and quantiles: kept_mass (probability inside the top k, to 0.0001) or
        distinct_ids.

    Raises:
        InputError: no rows, the teacher was adapted on one of them, or its head has fewer rows than
            its tokenizer has ids.
    """
    codec, caching = header.make_codec(), _Caching(teacher, header, batching)
    paths, found = [], Quantiles()
    with progress.bar() as bar:
        total = len(rows) if isinstance(rows, Sized) else None
        task = bar.add_task("cache logits", total=total, info="")
        for window in _windows(rows, batching.rows * batching.per_part):
            header.refuse_seen(window)
            batches = list(examples.by_length(window, batching.rows))
            path = parts.part_path(scratch, header, [row.key for b in batches for row in b])
            paths.append(path)
            if parts.is_whole(path):
                bar.update(task, advance=len(window), refresh=True)
                continue
            blobs: list[Blob] = []
            for batch in batches:
                blobs += caching.encode(batch)
                bar.update(task, advance=len(batch), refresh=True)
            whole = [row for batch in batches for row in batch]
            parts.write_part(
                path, [row.key for row in whole], blobs, [row.num_answer_tokens for row in whole]
            )
    if not paths:
        raise InputError("there are no rows to cache: raise max_rows or add rows")
    caching.log_speed()
    assembly.assemble(paths, out, header, lambda part: _measure(codec, part, found))
    return _summary(out, found)


def require_kept_mass(metrics: Mapping[str, float], least: float, k: int) -> None:
    """Stop where the top k hold too little of the teacher; drawn ids stand for all of it.

    Raises:
        InputError: the mean of the kept probability is below `least`.
    """
    mean = metrics.get("kept_mass_mean", 1.0)
    if mean < least:
        raise InputError(
            f"the {k} most probable ids hold {mean:.4f} of the teacher's probability, "
            f"min_kept_mass_mean is {least}: raise cache_logits.k, or take codec sampled"
        )


class _Caching:
    """The forward passes over batches, and how long they took."""

    def __init__(self, teacher: CausalLM, header: Header, batching: Batching) -> None:
        self._teacher, self._chunk = teacher, batching.chunk_tokens
        self._codec = header.make_codec()
        head = teacher.lm_head
        if len(head.weight) < header.vocab_size:
            raise InputError(
                f"the teacher's head has {len(head.weight)} rows, its tokenizer "
                f"{header.vocab_size} ids: take the tokenizer.json that belongs to the weights"
            )
        self._weight_VD = head.weight[: header.vocab_size]
        self._bias_V = None if head.bias is None else head.bias[: header.vocab_size]
        self._tokens, self._seconds = 0, 0.0

    def encode(self, batch: list[Example]) -> list[Blob]:
        """Return the bytes of each row of a batch."""
        started = time.perf_counter()
        sizes = [row.num_answer_tokens for row in batch]
        line = packing.pack(batch, self._weight_VD.device)
        with torch.inference_mode():
            hidden_ND = line.predicting(self._teacher.model(**line.inputs).last_hidden_state)
            signals: list[Signal] = []
            begin = 0
            for hidden_CD in hidden_ND.split(self._chunk):
                logits_CV = functional.linear(hidden_CD, self._weight_VD, self._bias_V)
                for part in blocks(logits_CV, torch.float32):
                    end = begin + part.stop - part.start
                    places = list(_places(batch, begin, end))
                    signals.append(self._codec.select(logits_CV[part], places))
                    begin = end
            blobs = self._codec.encode(self._codec.join(signals), sizes)
        self._tokens += sum(sizes)
        self._seconds += time.perf_counter() - started
        return blobs

    def log_speed(self) -> None:
        """Log tokens a second: no metric, since those are equal on every rerun."""
        if self._tokens:
            speed = self._tokens / self._seconds
            log.info("cache_logits: %d tokens, %.0f a second", self._tokens, speed)


def _places(batch: list[Example], begin: int, end: int) -> Iterator[Place]:
    """Yield which tokens of which rows the answer tokens begin to end of a batch are."""
    first = 0
    for row in batch:
        start, stop = max(begin - first, 0), min(end - first, row.num_answer_tokens)
        if start < stop:
            yield Place(row.key, start, stop)
        first += row.num_answer_tokens


def _windows(rows: Iterable[Example], size: int) -> Iterator[list[Example]]:
    """Yield the rows in their order, `size` at a time, a key once in each."""
    stream = iter(rows)
    while window := list(itertools.islice(stream, size)):
        unique = {row.key: row for row in window if row.num_answer_tokens}
        if unique:
            yield list(unique.values())


def _measure(codec: Codec, part: Part, found: Quantiles) -> None:
    """Read a part back as training will, and note what it kept."""
    if len(part.tokens):
        found.add(*codec.measure(codec.decode(part.blobs(), part.tokens.tolist())))


def _summary(out: Path, found: Quantiles) -> dict[str, float]:
    made = logit_store.LogitStore(out)
    num_bytes = sum(path.stat().st_size for path in files.files_below(out))
    return {
        "num_rows": len(made),
        "num_tokens": made.num_tokens,
        "bytes_per_token": round(num_bytes / made.num_tokens, 1),
        **found.summary(SHARES),
    }
