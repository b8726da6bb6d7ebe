"""Training time a token: rows in one line, read by runs, against padded rows and a mask.

`python -m benchmarks.packing ROWS MODEL` takes the rows of a table (data/tokens/train.arrow) in the
batches of training, and the shapes of a checkpoint that has its vocabulary, with random weights and
a few layers, which are equal, so they stand for all. Three ways, in turn, forward and backward with
the loss on the answers, each in a batch's passes:

    padded  rows one below the other, attention by torch's fused kernel: the reference
    mask    one line as `packing` makes it, attention by torch under the line's mask
    runs    the same line, attention by `loading.attention`

Printed is a JSON line for each dtype: microseconds a token of the rows (median over steps), the
speed of a way over that of padded rows with the extremes over steps, and the tokens that are read
for one of the rows.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from potstill.loading import load
from potstill.models import checkpoint
from potstill.models.chat import ChatTokenizer
from potstill.tokens import examples, packing, table
from potstill.tokens.examples import Example
from torch.nn import functional

from benchmarks import padded

BATCH_ROWS, PASS_TOKENS = 8, 1024
WAYS = ("padded", "mask", "runs")


def answers_loss(
    model: load.CausalLM, rows: Sequence[Example], way: str
) -> tuple[torch.Tensor, int]:
    """Return the summed loss of the answers, and the tokens that were read."""
    if way == "padded":
        ids_BT, answer_BT = padded.collate(rows)
        hidden_BTD = model.model(input_ids=ids_BT, use_cache=False).last_hidden_state
        hidden_ND = hidden_BTD[:, :-1][answer_BT[:, 1:]]
        labels_N, read = ids_BT[:, 1:][answer_BT[:, 1:]], ids_BT.numel()
    else:
        line = packing.pack(rows)
        inputs = line.inputs
        if way == "mask":
            del inputs["runs"]
        hidden_ND = line.predicting(model.model(**inputs).last_hidden_state)
        labels_N, read = line.answers_N, line.ids_1T.numel()
    logits_NV = model.lm_head(hidden_ND).float()
    return functional.cross_entropy(logits_NV, labels_N, reduction="sum"), read


def padded_passes(rows: Sequence[Example]) -> list[list[Example]]:
    """Deal rows, longest first, into groups of at most so many tokens, padding counted."""
    groups: list[list[Example]] = []
    for row in sorted(rows, key=lambda row: -len(row.ids)):
        if groups and (len(groups[-1]) + 1) * len(groups[-1][0].ids) <= PASS_TOKENS:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups


def step(
    model: load.CausalLM, rows: Sequence[Example], way: str, dtype: torch.dtype
) -> tuple[float, int]:
    """Return the seconds of a forward and a backward pass over rows, and the tokens read."""
    begun, total = time.perf_counter(), 0
    parts = padded_passes(rows) if way == "padded" else packing.passes(rows, PASS_TOKENS)
    for part in parts:
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss, read = answers_loss(model, part, way)
        loss.backward()
        total += read
    seconds = time.perf_counter() - begun
    model.zero_grad(set_to_none=False)
    return seconds, total


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path)
    parser.add_argument("model", type=Path)
    for name, default in (("steps", 12), ("layers", 6), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    rows = table.open(given.rows, ChatTokenizer(given.model))
    batches = list(examples.order(rows, BATCH_ROWS, 0, 0))[: given.steps + 1]
    sizes = {"num_hidden_layers": given.layers, "layer_types": None}
    model = load.from_config(checkpoint.read_config(given.model) | sizes)
    for dtype in (torch.bfloat16, torch.float32):
        times: dict[str, list[float]] = {way: [] for way in WAYS}
        shares: dict[str, list[float]] = {way: [] for way in WAYS}
        for number, batch in enumerate(batches):
            own = [rows[row] for row in batch]
            tokens = sum(len(row.ids) for row in own)
            for way in WAYS:
                seconds, read = step(model, own, way, dtype)
                if number:  # the first of each touches its memory for the first time
                    times[way].append(1e6 * seconds / tokens)
                    shares[way].append(read / tokens)
        for way in WAYS:
            pairs = zip(times["padded"], times[way], strict=True)
            ratios = sorted(one / other for one, other in pairs)
            found = {
                "way": way,
                "dtype": str(dtype).removeprefix("torch."),
                "us_a_token": round(statistics.median(times[way]), 1),
                "speed": round(statistics.median(ratios), 3),
                "low": round(ratios[0], 3),
                "high": round(ratios[-1], 3),
                "read": round(statistics.mean(shares[way]), 3),
                "n": given.steps,
            }
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
