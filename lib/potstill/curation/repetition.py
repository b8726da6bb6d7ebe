"""Which rows of all shards repeat another: one process, a few dozen bytes a row in memory."""

import bisect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from potstill.curation import duplicates, shards

_HASH_BYTES = 8


class Corpus:
    """The held-out tasks, then the rows of all shards in their order; places count from 0.

    Args:
        folders: of the shards.
        heldout: tasks of validation and test, which nothing may nearly repeat.
    """

    def __init__(self, folders: Sequence[Path], heldout: Sequence[dict[str, Any]]) -> None:
        self.folders, self.heldout = folders, heldout
        self._prints = duplicates.prints([f"{t['task']}\n{t['reference'] or ''}" for t in heldout])
        facts = [_load(folder) for folder in folders]
        sizes = [len(each["keys"]) for each in facts]
        self.begins = [len(heldout), *(len(heldout) + np.cumsum(sizes, dtype=int)).tolist()]
        self._starts = [each["starts"] for each in facts]
        groups = [shards.group_code(task["family"]) for task in heldout]
        self._groups = np.concatenate(
            [np.array(groups, np.uint64), *(each["groups"] for each in facts)]
        )
        none = np.zeros(0)
        self._keys = np.concatenate([none.astype(np.uint64), *(each["keys"] for each in facts)])
        self._ids = np.concatenate([none.astype("S1"), *(each["ids"] for each in facts)])

    def repeats(self, least: float) -> dict[int, int | None]:
        """Return the places of rows that repeat an earlier text, with its place.

        None stands for a whole copy of an earlier row; the others nearly repeat a held-out task or
        an earlier row of another group.
        """
        _, firsts = np.unique(self._keys, return_index=True)
        copies = np.ones(len(self._keys), bool)
        copies[firsts] = False
        left = np.concatenate([np.ones(len(self.heldout), bool), ~copies])
        pairs = duplicates.pairs(self._bands(), self._groups)
        pairs = pairs[left[pairs[:, 0]] & left[pairs[:, 1]]]
        found: dict[int, int | None] = dict(duplicates.repeats(pairs, self._runs, least))
        found.update(dict.fromkeys((np.flatnonzero(copies) + len(self.heldout)).tolist()))
        return found

    def refusal(self, earlier: int | None) -> shards.Refusal:
        """Return reason and detail for a row that repeats the text at a place."""
        if earlier is None:
            return "duplicate", ""
        if earlier < len(self.heldout):
            return "near_heldout", self.heldout[earlier]["id"]
        return "near_duplicate", self._ids[earlier - len(self.heldout)].decode()

    def _shard(self, place: int) -> int:
        return bisect.bisect_right(self.begins, place) - 1

    def _bands(self) -> Iterator[np.ndarray]:
        for number, mine in enumerate(self._prints.bands):
            parts = [mine]
            for folder, starts in zip(self.folders, self._starts, strict=True):
                size = len(starts) - 1
                where = number * size * _HASH_BYTES
                parts.append(np.fromfile(folder / "bands.bin", np.uint64, size, offset=where))
            yield np.concatenate(parts)

    def _runs(self, place: int) -> frozenset[int]:
        if place < len(self.heldout):
            start, end = self._prints.starts[place : place + 2]
            return frozenset(self._prints.runs[start:end].tolist())
        number = self._shard(place)
        inner = place - self.begins[number]
        start, end = self._starts[number][inner : inner + 2].tolist()
        path = self.folders[number] / "runs.bin"
        found = np.fromfile(path, np.uint64, end - start, offset=start * _HASH_BYTES)
        return frozenset(found.tolist())


def _load(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "facts.npz") as facts:
        return dict(facts)
