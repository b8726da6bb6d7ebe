"""What an artefact costs to run against another: decoding speed, first token, peak memory, size.

    python -m benchmarks.decode ARTEFACT REFERENCE [--turns 5]

Both are folders with an artifact.json (`potstill adopt` makes one of a published file). They are
measured in turn, each time in a fresh process, as `export` measures; a line's values are the
medians of the turns, the ratio is that of the medians, and the ratios of single turns stand beside
it. Decoding reads every weight once a token, so memory bandwidth limits it.
"""

import argparse
import json
import statistics
from pathlib import Path

from potstill.proving import latency

GOAL = 1.25  # times the reference's tokens a second
HOW = latency.Settings(prompt_tokens=64, tokens=64, repeats=3, threads=2, timeout_s=300)
WHAT = {
    "tokens_per_s_p50": (f"decoding, {HOW.threads} threads", "tokens/s", "higher"),
    "ttft_ms_p50": (f"first token after {HOW.prompt_tokens}, {HOW.threads} threads", "ms", "lower"),
    "peak_rss_mb": ("peak resident memory", "MB", "lower"),
    "size_bytes": ("model file", "bytes", "lower"),
}


def main() -> None:
    """Measure both in turn, print one JSON line a cost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("artefact", type=Path)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    sides = (args.artefact, args.reference)
    turns = [[latency.measure(side, HOW) for side in sides] for _ in range(args.turns)]
    for key, (claim, unit, better) in WHAT.items():
        values = [[float(measured[key]) for measured in turn] for turn in turns]
        value, reference = (statistics.median(side) for side in zip(*values, strict=True))
        ratios = sorted(ours / theirs for ours, theirs in values)
        line = {
            "claim": f"{args.artefact.name}: {claim}",
            "value": value,
            "unit": unit,
            "reference": args.reference.name,
            "reference_value": reference,
            "ratio": round(value / reference, 3),
            "ratios": [round(ratios[0], 3), round(ratios[-1], 3)],
            "n": args.turns,
            **({"goal": GOAL} if key == "tokens_per_s_p50" else {}),
            "better": better,
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
