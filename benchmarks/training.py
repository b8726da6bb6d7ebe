"""Memory and time of a training step: all weights, adapters, layers computed twice.

    python -m benchmarks.training [--layers 24] [--rows 2] [--tokens 256] [--steps 3]

A model of Qwen2.5-0.5B's shapes with random weights and 32,768 ids, each way in a fresh process.
Memory is the process's peak less what it held before it had a model (Linux); processor time is the
median of the steps after the first.
"""

import argparse
import itertools
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHAPES = {
    "model_type": "qwen2", "vocab_size": 32768, "hidden_size": 896, "intermediate_size": 4864,
    "num_attention_heads": 14, "num_key_value_heads": 2, "max_position_embeddings": 2048,
    "tie_word_embeddings": True, "rms_norm_eps": 1e-6, "hidden_act": "silu",
}  # fmt: skip
ADAPTER = {"kind": "lora", "r": 16, "alpha": 32.0}
WAYS = {
    "all weights": {},
    "all weights, twice": {"gradient_checkpointing": True},
    "adapter": {"adapter": ADAPTER},
    "adapter, twice": {"adapter": ADAPTER, "gradient_checkpointing": True},
}


def memory(kind: str) -> int:
    """Return this process's resident memory in kB: VmRSS now, VmHWM at its highest."""
    found = re.search(rf"{kind}:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) if found else 0


def one(changes: dict[str, object], layers: int, rows: int, tokens: int, steps: int) -> None:
    """Train in this process; print seconds of each step and gigabytes."""
    import torch
    from potstill.distill import adapters, training
    from potstill.distill.objective import Objective
    from potstill.distill.recipe import Training
    from potstill.loading import device, load
    from potstill.tokens.examples import Example

    recipe = Training(
        steps=steps, batch_rows=rows, pass_tokens=rows * tokens, learning_rate=None, warmup_steps=1,
        weight_decay=0.01, clip_norm=1.0, evaluate_every=1, checkpoint_every=0, max_rows=99,
        chunk_tokens=512, precision="auto", threads=2, seed=0, **changes,
    )  # fmt: skip
    device.make_deterministic(0, 2)
    place = device.pick_device()
    dtype = device.compute_dtype("auto", place)
    before = memory("VmRSS")
    model = load.from_config({**SHAPES, "num_hidden_layers": layers})
    if recipe.adapter:
        model = model.to(dtype)
        names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        adapters.attach(model, recipe.adapter, names, Path())
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew: float32 came first
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(SHAPES["vocab_size"], (rows, tokens), generator=draw).tolist()
    examples = [Example(tuple(row), ((tokens // 2, tokens, 1.0),), "g") for row in ids]
    times = [time.process_time()]

    def evaluate(_: object) -> dict[str, float]:
        times.append(time.process_time())
        return {}

    with tempfile.TemporaryDirectory() as scratch:
        loss = training.Loss(Objective("cross_entropy"))
        training.train(
            model, examples, loss, recipe, dtype=dtype, scratch=Path(scratch), evaluate=evaluate
        )
    peak = memory("VmHWM")
    seconds = [after - start for start, after in itertools.pairwise(times)][1:]
    held = (peak - before) / 1e6
    print(json.dumps({"gigabytes": held, "cpu_seconds": statistics.median(seconds)}))


def main() -> None:
    """Print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("layers", 24), ("rows", 2), ("tokens", 256), ("steps", 4)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--way", choices=WAYS)
    given = parser.parse_args()
    sizes = {name: getattr(given, name) for name in ("layers", "rows", "tokens", "steps")}
    if given.way:
        one(WAYS[given.way], **sizes)
        return
    flags = [text for name, value in sizes.items() for text in (f"--{name}", str(value))]
    for way in WAYS:
        command = [sys.executable, "-m", "benchmarks.training", "--way", way, *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        print(f"{way:24} {found['gigabytes']:6.2f} GB {found['cpu_seconds']:7.1f} s of processor")


if __name__ == "__main__":
    main()
