"""Opening and reading a signal store of 10,000, 100,000 and a million rows.

`python -m benchmarks.signal_store` writes stores of synthetic rows (8 tokens each; the last takes a
gigabyte of disk) and prints JSON lines: seconds to open, memory that opening and reading add, rows
and tokens looked up a second, bytes a token. Each store is opened in a fresh process. What the
process has before (Python, NumPy and torch) is printed beside it.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import torch
from potstill.logits.assembly import assemble
from potstill.logits.codecs import CODECS, Place
from potstill.logits.parts import part_path, write_part
from potstill.logits.store import Header, LogitStore

SIZES = (10_000, 100_000, 1_000_000)
PART_ROWS = 2000
ROW_TOKENS = 8
BATCH_ROWS = 64  # looked up at once
BATCHES = 200
GOALS = {"open_s": 1.0, "open_mb": 200.0, "rows_per_s": 1000.0}


def header(codec: str, vocab_size: int) -> Header:
    """Return the header of a store of nobody."""
    return Header("", "", "", vocab_size, codec, CODECS[codec].VERSION, k=50, seed=0)


def keys(count: int) -> Iterator[list[str]]:
    """Yield the keys of `count` rows, a part at a time: the same ones on every call."""
    source = np.random.Generator(np.random.Philox(key=count))
    for begin in range(0, count, PART_ROWS):
        drawn = source.bytes(16 * min(PART_ROWS, count - begin)).hex()
        yield [drawn[at : at + 32] for at in range(0, len(drawn), 32)]


def write(folder: Path, count: int, made: Header) -> Path:
    """Write a store whose rows have the bytes of one part over and over, in changing order."""
    codec = made.make_codec()
    num_tokens = PART_ROWS * ROW_TOKENS
    source = torch.Generator().manual_seed(0)
    signals = [
        codec.select(
            # probabilities fall as rank ** -1.5: 50 draws give about a dozen different ids
            -1.5 * torch.rand(1000, made.vocab_size, generator=source).log(),
            [Place(str(start), 0, 1000)],
        )
        for start in range(0, num_tokens, 1000)
    ]
    sizes = [ROW_TOKENS] * PART_ROWS
    blobs = codec.encode(codec.join(signals), sizes)
    paths, source_of_order = [], np.random.default_rng(2)
    for part in keys(count):
        paths.append(part_path(folder, made, part))
        order = source_of_order.permutation(PART_ROWS)[: len(part)]
        write_part(paths[-1], part, [blobs[row] for row in order], sizes[: len(part)])
    assemble(paths, folder / "store", made)
    for path in paths:
        path.unlink()
    return folder / "store"


def measure(store: Path, count: int) -> dict[str, float]:
    """Open a store, look rows up in an order that no file has, and return what it took."""
    process, torch_threads = psutil.Process(), torch.get_num_threads()
    asked = [key for part in keys(count) for key in part]
    order = np.random.default_rng(1).permutation(count)
    batches = [
        [asked[row] for row in order[i * BATCH_ROWS : (i + 1) * BATCH_ROWS]]
        for i in range(min(BATCHES, count // BATCH_ROWS))
    ]
    del asked, order
    before = process.memory_info().rss
    started = time.perf_counter()
    opened = LogitStore(store)
    open_s, open_rss = time.perf_counter() - started, process.memory_info().rss
    started = time.perf_counter()
    for batch in batches:
        opened.get(batch)
    seconds, num_rows = time.perf_counter() - started, len(batches) * BATCH_ROWS
    size = sum(path.stat().st_size for path in store.iterdir())
    return {
        "open_s": round(open_s, 4),
        "open_mb": round((open_rss - before) / 1e6, 1),
        "read_mb": round((process.memory_info().rss - before) / 1e6, 1),
        "process_mb": round(before / 1e6, 1),
        "rows_per_s": round(num_rows / seconds),
        "tokens_per_s": round(num_rows * ROW_TOKENS / seconds),
        "bytes_per_token": round(size / opened.num_tokens, 2),
        "threads": torch_threads,
    }


def main() -> None:
    """Write, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="+", type=int, default=SIZES)
    parser.add_argument("--codecs", nargs="+", default=list(CODECS))
    parser.add_argument("--vocab-size", type=int, default=49_152)
    args = parser.parse_args()
    for codec in args.codecs:
        for count in args.rows:
            with tempfile.TemporaryDirectory() as folder:
                store = write(Path(folder), count, header(codec, args.vocab_size))
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    found = pool.apply(measure, (store, count))
            claim = f"{codec}: a store of {count} rows, {args.vocab_size} ids"
            print(json.dumps({"claim": claim, **found, "goals": GOALS}), flush=True)


if __name__ == "__main__":
    main()
