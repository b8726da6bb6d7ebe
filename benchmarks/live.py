"""A training step beside a live teacher against one from its stored distributions: time and memory.

    python -m benchmarks.live [--run .] [--steps 8]

Takes the start, the adapted teacher and the stored signal of a run whose folder is given, and the
settings of params.yaml's student `kd`. Each side is a process of its own; a step's time is the
median after the second (the first ones touch memory for the first time), memory the process's peak
(Linux). What caching costs once is not in it: benchmarks/caching.py.
"""

import argparse
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

SIDES = ("stored", "live")
FIRST = 2  # steps that are not counted


def one(side: str, run: Path, steps: int) -> None:
    """Train in this process, in the run's folder; print one JSON line."""
    import torch
    from potstill.distill import training
    from potstill.distill.objective import Objective
    from potstill.distill.recipe import Recipe
    from potstill.loading import device, load
    from potstill.logits import caching, live, source
    from potstill.models.chat import ChatTokenizer
    from potstill.params import build
    from potstill.tokens import table

    os.chdir(run)  # a live signal names its teacher by a path from there
    settings = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    recipe = build(Recipe, settings, "training", "students.kd").model_copy(update={"steps": steps})
    start, signal = Path("models/starts/pruned"), Path("data/signals/adapted")
    device.make_deterministic(0, recipe.threads)
    place = device.pick_device()
    dtype = device.compute_dtype(recipe.precision, place)
    rows = table.open(Path("data/tokens/train.arrow"), ChatTokenizer(start))
    rows = rows.of_folds(recipe.folds)[: recipe.max_rows]
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        if side == "live":
            signal = Path(folder) / "signal"
            teacher = Path("models/teacher_adapted")
            live.write(signal, caching.describe(teacher, codec="live", k=0, seed=0))
        objective = Objective(
            recipe.objective,
            recipe.alpha,
            recipe.temperature,
            chunk_tokens=recipe.chunk_tokens,
        )
        loss = training.Loss(objective, source.open_source(signal, dtype, place))
        model = load.causal_lm(start, torch.float32, place)

        def evaluate(_: object) -> dict[str, float]:
            times.append(time.perf_counter())
            return {"validation_nll": 0.0}

        recipe = recipe.model_copy(update={"evaluate_every": 1, "checkpoint_every": 0})
        training.train(
            model, rows, loss, recipe, dtype=dtype, scratch=Path(folder), evaluate=evaluate
        )
    seconds = [after - before for before, after in itertools.pairwise(times)][FIRST - 1 :]
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(r"VmHWM:\s+(\d+)", status)
    assert found
    line = {
        "side": side,
        "seconds": round(statistics.median(seconds), 3),
        "lowest_highest": [round(min(seconds), 3), round(max(seconds), 3)],
        "steps": len(seconds),
        "peak_mb": int(found[1]) // 1024,
    }
    print(json.dumps(line), flush=True)


def main() -> None:
    """Run both sides."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path())
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--side", choices=SIDES, help="one run, in this process")
    args = parser.parse_args()
    if args.side:
        one(args.side, args.run, args.steps)
        return
    for side in SIDES:
        given = ["--side", side, "--run", str(args.run), "--steps", str(args.steps)]
        subprocess.run([sys.executable, "-m", "benchmarks.live", *given], check=True)


if __name__ == "__main__":
    main()
