"""A training step of several ranks against one process with as many threads: time and memory.

    python -m benchmarks.ranks [--processes 2] [--threads 2] [--steps 6] [--turns 3] [--layers 26]

A student of the default run's shapes with random weights, 8 rows of 60 to 199 tokens a step, all
weights trained. Ways take turns, each turn in fresh processes; the ratio is of medians over all
steps but each turn's first two. Memory is a process's peak less what it held before it had a model
(Linux), the largest of all ranks.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from potstill.distill import ranks

from benchmarks.kd import SMOLLM2
from benchmarks.training import memory

IDS, ROWS, LEFT_OUT = 12_288, 8, 2


def one(layers: int, threads: int, steps: int) -> dict[str, object]:
    """Train; return the seconds of each step and the gigabytes of the largest rank."""
    import torch
    from potstill.distill import training
    from potstill.distill.objective import Objective
    from potstill.distill.recipe import Training
    from potstill.loading import device, load
    from potstill.tokens.examples import Example
    from torch import distributed

    recipe = Training(
        steps=steps + LEFT_OUT, batch_rows=ROWS, pass_tokens=1024, learning_rate=None,
        warmup_steps=1, weight_decay=0.01, clip_norm=1.0, evaluate_every=1, checkpoint_every=0,
        max_rows=999, chunk_tokens=512, precision="auto", threads=threads, seed=0, folds=[0, 1],
    )  # fmt: skip
    device.make_deterministic(0, max(1, threads // ranks.count()))
    dtype = device.compute_dtype("auto", device.pick_device())
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    model = load.from_config({**SMOLLM2, "num_hidden_layers": layers, "vocab_size": IDS})
    draw = torch.Generator().manual_seed(0)
    lengths = torch.randint(60, 200, (ROWS * recipe.steps,), generator=draw).tolist()
    rows = [
        Example(
            tuple(torch.randint(IDS, (length,), generator=draw).tolist()),
            ((length // 2, length, 1.0),),
            "g",
        )
        for length in lengths
    ]
    times = [time.perf_counter()]

    def evaluate(_: object) -> dict[str, float]:
        times.append(time.perf_counter())
        return {"validation_nll": 0.0}

    with tempfile.TemporaryDirectory() as scratch:
        loss = training.Loss(Objective("cross_entropy"))
        history = training.train(
            model, rows, loss, recipe, dtype=dtype, scratch=Path(scratch), evaluate=evaluate
        )
    peaks = [memory("VmHWM") - before] * ranks.count()
    if ranks.count() > 1:
        distributed.all_gather_object(peaks, peaks[0])
    seconds = [after - start for start, after in itertools.pairwise(times)][LEFT_OUT:]
    losses = [row["loss"] for row in history]
    return {"seconds": seconds, "gigabytes": max(peaks) / 1e6, "losses": losses}


def main() -> None:
    """Print a line for each way, the ratio, and the largest difference of a step's loss."""
    parser = argparse.ArgumentParser(description=__doc__)
    sizes = {"processes": 2, "threads": 2, "steps": 6, "turns": 3, "layers": 26}
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--way", type=int)
    given = parser.parse_args()
    if given.way:
        print(json.dumps(ranks.run(given.way, one, given.layers, given.threads, given.steps)))
        return
    ways = (1, given.processes)
    found: dict[int, list[dict]] = {way: [] for way in ways}
    for way in ways * given.turns:
        flags = [f"--way={way}", *(f"--{name}={getattr(given, name)}" for name in sizes)]
        command = [sys.executable, "-m", "benchmarks.ranks", *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[way].append(json.loads(done.stdout.splitlines()[-1]))
    medians = {}
    for way, turns in found.items():
        medians[way] = statistics.median(s for turn in turns for s in turn["seconds"])
        peak = max(turn["gigabytes"] for turn in turns)
        each = ", ".join(f"{statistics.median(turn['seconds']):.2f}" for turn in turns)
        print(f"{way} processes: {medians[way]:.2f} s a step ({each}), {peak:.2f} GB each")
    apart = max(
        abs(a - b)
        for one_way, other in zip(*found.values(), strict=True)
        for a, b in zip(one_way["losses"], other["losses"], strict=True)
    )
    print(f"ratio {medians[given.processes] / medians[1]:.2f}, losses within {apart:.1e}")


if __name__ == "__main__":
    main()
