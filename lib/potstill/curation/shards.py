"""Judge rows by themselves, shard by shard in several processes; the results lie on the disk.

A shard is `SIZE` rows in their order. What its folder holds depends on its rows and the rules
alone, so it is the same for any number of processes, and one that is there is not made again:

    rows.jsonl      the rows that are right as they stand
    rejected.jsonl  the others, each with its reason
    facts.npz       of the right ones: keys of whole copies, groups, ids and starts of the runs
    runs.bin        hashes of their runs of words, and
    bands.bin       of the parts of their MinHash, for `duplicates`
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from potstill import files, privacy, subset
from potstill.curation import duplicates, engines, wording
from potstill.curation.contamination import Benchmarks
from potstill.subset.policy import LANGUAGES

Row = dict[str, Any]
Refusal = tuple[str, str]  # reason and detail
SIZE = 2048


@dataclass(frozen=True)
class Rules:
    """What rows are judged by.

    Attributes:
        policy: name of the subset policy.
        max_code_characters: longer code is rejected.
        request_languages: a request in none of them is rejected; nothing is where there are none.
        benchmarks: problems that must not be trained on.
    """

    policy: str
    max_code_characters: int
    request_languages: Sequence[str]
    benchmarks: Benchmarks


def judge_all(
    rows: Iterable[Row], rules: Rules, folder: Path, engine: engines.Engine, workers: int
) -> list[Path]:
    """Judge rows and return the folders of their shards, in order.

    Args:
        rows: read as they are needed, so that few are held at a time.
        rules: what they are judged by.
        folder: for the shards; those of an earlier run of the same rows and rules are kept.
        engine: where they are judged.
        workers: processes.

    Raises:
        InputError: an unknown policy or language, or Ray is not installed.
    """
    folder.mkdir(exist_ok=True)
    shards: list[Path] = []

    def wanted() -> Iterator[engines.Task]:
        source = iter(rows)
        while some := list(itertools.islice(source, SIZE)):
            shards.append(folder / f"{len(shards):05}")
            if not shards[-1].exists():
                yield some, shards[-1]

    tasks = wanted()
    first = list(itertools.islice(tasks, 2))
    if engine == "local" and len(first) < 2:
        workers = 1  # a process costs more than a shard
    engines.run(engine, judge, rules, itertools.chain(first, tasks), workers)
    return shards


def judge(rows: Sequence[Row], rules: Rules, path: Path) -> None:
    """Judge the rows of a shard and write its folder."""
    refusals = _refusals(rows, rules)
    right = [row for row, refusal in zip(rows, refusals, strict=True) if refusal is None]
    texts = [f"{row['task']}\n{row['code']}" for row in right]
    prints = duplicates.prints(texts)
    partial = files.partial_path(path)
    files.remove(partial)
    partial.mkdir()
    files.write_jsonl(partial / "rows.jsonl", right)
    refused = zip(rows, refusals, strict=True)
    files.write_jsonl(
        partial / "rejected.jsonl", (rejected(row, *why) for row, why in refused if why)
    )
    np.savez(
        partial / "facts.npz",
        keys=np.array([_key(row) for row in right], np.uint64),
        groups=np.array([group_code(row["group"]) for row in right], np.uint64),
        ids=np.array([row["id"].encode() for row in right], np.bytes_),
        starts=prints.starts,
    )
    prints.runs.tofile(partial / "runs.bin")
    prints.bands.tofile(partial / "bands.bin")
    partial.replace(path)


def rejected(row: Row, reason: str, detail: str, also: Sequence[str] = ()) -> Row:
    """Return what is kept of a row that is put aside, with what else is wanted; no private code."""
    kept = {key: row[key] for key in ("id", "origin", "language", "group", "code")} | request(row)
    kept |= {key: row[key] for key in also if key in row}
    if reason in privacy.REASONS:
        kept["code"] = ""
    return {**kept, "reason": reason, "detail": detail[:200]}


def request(row: Row) -> Row:
    """Return of which mined function a row is, and whose words ask for it; nothing of others."""
    return {key: row[key] for key in ("function", "request_by") if key in row}


def group_code(group: str) -> int:
    """Return 64 bits that stand for a group."""
    return int(files.row_id(group), 16)


def _key(row: Row) -> int:
    """Return 64 bits that whole copies of a row share."""
    code = " ".join(row["code"].split())
    return int(files.row_id(row["language"], row["task"], code), 16)


def _refusals(rows: Sequence[Row], rules: Rules) -> list[Refusal | None]:
    """Return why a row is wrong by itself, or None; the first reason that holds."""
    found = [_looks_wrong(row, rules.max_code_characters) for row in rows]
    for language in LANGUAGES:
        mine = [n for n, row in enumerate(rows) if not found[n] and row["language"] == language]
        verdicts = subset.check_many(language, [rows[n]["code"] for n in mine], rules.policy)
        for number, verdict in zip(mine, verdicts, strict=True):
            if not verdict.supported:
                first = verdict.reasons[0]
                found[number] = f"subset_{first.kind}", first.detail
    for number, row in enumerate(rows):
        if not found[number]:
            private = privacy.find("\n".join([row["task"], *row["plan"], row["code"]]))
            found[number] = (private.reason, private.kind) if private else None
        if not found[number] and rules.request_languages:
            foreign = wording.foreign(row["task"], rules.request_languages)
            found[number] = ("request_language", foreign) if foreign else None
    left = [number for number, why in enumerate(found) if not why]
    texts = [{**rows[n], "text": f"{rows[n]['task']}\n{rows[n]['code']}"} for n in left]
    for number, hit in zip(left, rules.benchmarks.hits(texts), strict=True):
        found[number] = ("contaminated", hit) if hit else None
    return found


def _looks_wrong(row: Row, most: int) -> Refusal | None:
    if row.get("finish") == "refused":
        return "refused", row["text"]
    if not row["code"].strip():
        return "empty", ""
    if row.get("finish") == "length" and row["code"] == row.get("text", "").strip():
        return "cut_off", "the answer hit the token limit before its code ended"
    if len(row["code"]) > most:
        return "too_long", f"{len(row['code'])} characters"
    return None
