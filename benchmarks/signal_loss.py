"""What is lost by storing little of a teacher: held-out loss after 200 steps against dense KD.

    python -m benchmarks.signal_loss [--root .] [--seeds 0 1 2] [--plot curve.png] > lines.jsonl

After a default run in ROOT: the first and last layers of the adapted teacher (--layers of them) are
trained for STEPS steps on the students' rows by forward KL at T = 1 alone, without labels, once
from the whole distributions (the teacher's hidden states and head) and once from a store for each
codec and k. Everything else of a seed is equal: start, rows, order, rate. Held out are the rows of
validation and test, whose families nobody was trained on. A JSON line a run: nats a token of the
labels and of the divergence from the whole teacher there, and the store's bytes a token; then one a
signal with the mean over seeds of the ratio to the dense run of the same seed, and its extremes.
"""

import argparse
import copy
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from potstill import files
from potstill.distill import likelihood, training
from potstill.distill.objective import Objective
from potstill.distill.recipe import Training
from potstill.loading import device, load
from potstill.logits import assembly, parts
from potstill.logits.codecs import CODECS, Place
from potstill.logits.dense import Live
from potstill.logits.source import Source
from potstill.logits.store import Header, LogitStore
from potstill.models import checkpoint
from potstill.models.chat import ChatTokenizer
from potstill.students import depth
from potstill.tokens import examples, packing, table
from potstill.tokens.examples import Example
from torch.nn import functional

STEPS, GOAL = 200, 0.01
SIGNALS = {"topk": [5, 10, 20, 50, 100], "sampled": [10, 50]}
RECIPE = {
    "steps": STEPS, "batch_rows": 4, "pass_tokens": 4096, "learning_rate": 3e-4, "warmup_steps": 10,
    "weight_decay": 0.01, "clip_norm": 1.0, "evaluate_every": 0, "checkpoint_every": 0,
    "max_rows": 999, "chunk_tokens": 512, "precision": "auto", "threads": 1, "seed": 0,
}  # fmt: skip
OBJECTIVE = Objective("forward_kl", alpha=0.0, temperature=1.0)


class Whole:
    """A teacher's whole distributions over rows, as hidden states that were computed once."""

    names, signal = ("dense",), Live

    def __init__(self, teacher: load.CausalLM, rows: Sequence[Example]) -> None:
        self.weight_VE = teacher.lm_head.weight.detach()
        self.hidden: dict[str, torch.Tensor] = {}
        for batch in examples.by_length(rows, 8):
            line = packing.pack(batch)
            with torch.no_grad():
                hidden_NE = line.predicting(teacher.model(**line.inputs).last_hidden_state)
            sizes = [row.num_answer_tokens for row in batch]
            found = hidden_NE.split(sizes)
            self.hidden |= {row.key: part for row, part in zip(batch, found, strict=True)}

    def check(self, hashes: Mapping[str, str]) -> None:
        """Nothing: both sides have the default run's vocabulary."""

    def require(self, rows: Sequence[Example]) -> None:
        """Nothing: all rows were run."""

    def signal_of(self, rows: Sequence[Example]) -> Live:
        """Return what gives the logits of rows."""
        return Live(torch.cat([self.hidden[row.key] for row in rows]), self.weight_VE)

    def store(self, codec: str, k: int, seed: int, rows: Sequence[Example], out: Path) -> float:
        """Write the store of some rows and return its bytes a token."""
        vocab_size = len(self.weight_VE)
        header = Header("", "", "", vocab_size, codec, CODECS[codec].VERSION, k=k, seed=seed)
        made, blobs = header.make_codec(), []
        unique = {row.key: row for row in rows}
        sizes = [row.num_answer_tokens for row in unique.values()]
        for (key, row), size in zip(unique.items(), sizes, strict=True):
            logits_NV = functional.linear(self.hidden[key], self.weight_VE)
            blobs += made.encode(made.select(logits_NV, [Place(row.key, 0, size)]), [size])
        part = parts.part_path(out.parent, header, [*unique])
        parts.write_part(part, [*unique], blobs, sizes)
        assembly.assemble([part], out, header)
        return sum(path.stat().st_size for path in files.files_below(out)) / sum(sizes)


def make_start(teacher: Path, num_layers: int, out: Path) -> load.CausalLM:
    """Return the teacher's first and last layers with float32 weights."""
    config = checkpoint.read_config(teacher)
    first = (num_layers + 1) // 2
    last = config["num_hidden_layers"] - (num_layers - first)
    kept = [*range(first), *range(last, config["num_hidden_layers"])]
    state, changed = depth.keep_layers(checkpoint.read_state(teacher), config, kept)
    checkpoint.write(out, state, changed, beside=teacher)
    return load.trainable(out, torch.device("cpu"))


def held_out(
    model: load.CausalLM, rows: Sequence[Example], whole: Whole, dtype: torch.dtype
) -> dict[str, float]:
    """Return nats a token of the labels (float32) and of the divergence from the teacher."""
    nlls = likelihood.row_nlls(model, rows, batch_rows=8)
    loss, divergence = training.Loss(OBJECTIVE, whole), 0.0
    for batch in examples.by_length(rows, 8):
        with torch.no_grad():
            divergence += training.batch_loss(model, batch, loss, dtype).divergence.item()
    tokens = sum(count for _, count in nlls.values())
    return {
        "nll_nats": sum(total for total, _ in nlls.values()) / tokens,
        "divergence_nats": divergence / sum(row.num_answer_tokens for row in rows),
    }


def summarise(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each signal the losses over those of the dense run of the same seed."""
    dense = {line["seed"]: line for line in lines if line["signal"] == "dense"}
    found = []
    for name in dict.fromkeys(line["signal"] for line in lines):
        mine = [line for line in lines if line["signal"] == name]
        line = {"signal": name, "n": len(mine), "bytes_per_token": mine[0]["bytes_per_token"]}
        for key in ("nll_nats", "divergence_nats"):
            ratios = [one[key] / dense[one["seed"]][key] for one in mine]
            line |= {
                f"{key}_over_dense": round(statistics.mean(ratios), 4),
                f"{key}_lowest_highest": [round(min(ratios), 4), round(max(ratios), 4)],
            }
        found.append(line | {"goal": 1 + GOAL})
    return found


def draw(found: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the held-out loss of each signal over its bytes a token."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.6), layout="constrained")
    axes.axhspan(-100 * GOAL, 100 * GOAL, color="0.9", label="within 1 % of dense")
    for codec, marker in (("topk", "o"), ("sampled", "s")):
        mine = [line for line in found if line["signal"].startswith(codec)]
        sizes = [line["bytes_per_token"] for line in mine]
        middle = [100 * (line["nll_nats_over_dense"] - 1) for line in mine]
        ends = [[100 * (end - 1) for end in line["nll_nats_lowest_highest"]] for line in mine]
        bars = [[m - e[i] if i == 0 else e[i] - m for m, e in zip(middle, ends, strict=True)]
                for i in (0, 1)]  # fmt: skip
        axes.errorbar(sizes, middle, bars, marker=marker, capsize=3, label=codec)
        for line, x, y in zip(mine, sizes, middle, strict=True):
            axes.annotate(line["signal"].split()[1], (x, y), (4, 5), textcoords="offset points")
    axes.set(
        xscale="log", xlabel="bytes a token stored (number: k, or draws)",
        ylabel=f"held-out loss after {STEPS} steps,\n% above dense KD",
    )  # fmt: skip
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Train, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path())
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--signals", nargs="+", help="such as dense 'topk 50'; all by default")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--lines", type=Path, nargs="+", help="of earlier runs: sum these up")
    args = parser.parse_args()
    if args.lines:
        lines = [one for path in args.lines for one in files.read_jsonl(path) if "seed" in one]
    else:
        lines = run(args)
    found = summarise(lines)
    for line in found:
        print(json.dumps(line), flush=True)
    if args.plot:
        draw(found, args.plot)


def run(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Train each signal with each seed, print a line each and return them."""
    device.make_deterministic(0, 1)
    dtype = device.compute_dtype("auto", torch.device("cpu"))
    folder = args.root / "models/teacher_adapted"
    chat, tokens = ChatTokenizer(folder), args.root / "data/tokens"
    rows = table.open(tokens / "train.arrow", chat).of_folds([1])[:128]
    splits = [table.open(tokens / f"{name}.arrow", chat) for name in ("validation", "test")]
    others = list({row.key: row for split in splits for row in split}.values())
    whole = Whole(load.causal_lm(folder, dtype, torch.device("cpu")), [*rows, *others])
    names = args.signals or ["dense", *(f"{c} {k}" for c, ks in SIGNALS.items() for k in ks)]
    lines = []
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        start = make_start(folder, args.layers, scratch / "start")
        print(json.dumps({"untrained": held_out(start, others, whole, dtype)}), file=sys.stderr)
        for seed in args.seeds:
            for signal in names:
                started = time.process_time()
                source: Source | Whole = whole
                size = float(whole.weight_VE.shape[0] * 2)  # float16 logits
                if signal != "dense":
                    codec, k = signal.split()
                    out = scratch / f"{codec}-{k}-{seed}"
                    size = whole.store(codec, int(k), seed, rows, out)
                    source = LogitStore(out)
                recipe = Training(**RECIPE | {"seed": seed, "steps": args.steps})
                model = copy.deepcopy(start)
                history = training.train(
                    model, rows, training.Loss(OBJECTIVE, source), recipe,
                    dtype=dtype, scratch=scratch / "none", evaluate=lambda _: {},
                )  # fmt: skip
                line = {"signal": signal, "seed": seed, "bytes_per_token": round(size, 1)}
                line |= held_out(model, others, whole, dtype)
                line |= {"train_loss": history[-1]["loss"]}
                line |= {"processor_s": round(time.process_time() - started)}
                lines.append(line)
                print(json.dumps(line), flush=True)
    return lines


if __name__ == "__main__":
    main()
