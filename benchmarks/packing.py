"""Training time a token: rows packed into long sequences against batches of similar lengths.

`python -m benchmarks.packing ROWS VOCABULARY MODEL` reads the lengths of a table of tokenised rows
(data/tokens/train.arrow, data/vocabulary) and takes the shapes of a checkpoint, with random
weights. Packed rows see only themselves: positions restart and the mask is block-diagonal. That
this leaks nothing is shown first, on the tiny checkpoints of the tests: a packed row has the logits
that it has alone, and another row beside it changes none of them.

Both ways are measured in turn, forward and backward with the loss on the answers, in processor
time of one thread, which other work on the machine changes least. The checkpoint's layers are
equal, so a few of them stand for all.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from potstill.loading import load
from potstill.models import checkpoint
from potstill.models.chat import ChatTokenizer
from potstill.tokens import examples, table
from potstill.tokens.examples import Example

from tests import tiny_models

BATCH_ROWS = 8
Inputs = dict[str, torch.Tensor]
Batch = tuple[int, tuple[Inputs, torch.Tensor]]  # real tokens, (inputs, answer_BT)


def pack(lengths: Sequence[int], size: int, seed: int, epoch: int) -> list[list[int]]:
    """Return sequences as row numbers by first fit, longest rows first; none is over `size`.

    Equal lengths and then the sequences are shuffled, as `examples.order` shuffles: a function of
    the arguments alone.
    """
    source = random.Random(f"{seed}/{epoch}")
    numbers = list(range(len(lengths)))
    source.shuffle(numbers)
    packs: list[list[int]] = []
    room: list[int] = []
    for number in sorted(numbers, key=lambda n: -lengths[n]):
        place = next((p for p, free in enumerate(room) if free >= lengths[number]), len(packs))
        if place == len(packs):
            packs.append([])
            room.append(size)
        packs[place].append(number)
        room[place] -= lengths[number]
    source.shuffle(packs)
    return packs


def collate(packs: Sequence[Sequence[Example]]) -> tuple[Inputs, torch.Tensor]:
    """Return a model's inputs for some sequences, and the bool mask [B, T] of answer tokens.

    The inputs are input_ids and position_ids [B, T], and attention_mask [B, 1, T, T], bool: whom a
    token sees, which is its own row up to itself.
    """
    length = max(sum(len(row.ids) for row in rows) for rows in packs)
    shape = (len(packs), length)
    ids_BT, places_BT = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64)
    owner_BT, answer_BT = torch.full(shape, -1), torch.zeros(shape, dtype=torch.bool)
    for index, rows in enumerate(packs):
        first = 0
        for number, row in enumerate(rows):
            span = slice(first, first + len(row.ids))
            ids_BT[index, span] = torch.tensor(row.ids)
            places_BT[index, span] = torch.arange(len(row.ids))
            owner_BT[index, span] = number
            for start, end, _ in row.spans:
                answer_BT[index, first + start : first + end] = True
            first += len(row.ids)
    seen_BTT = (owner_BT[:, :, None] == owner_BT[:, None, :]).tril()
    inputs = {"input_ids": ids_BT, "position_ids": places_BT, "attention_mask": seen_BTT[:, None]}
    return inputs, answer_BT


def check_nothing_leaks() -> float:
    """Return the largest difference of a packed row's logits from those that it has alone.

    Raises:
        AssertionError: it is more than rounding, or a change of one row changes another's logits.
    """
    worst = 0.0
    for name in tiny_models.CASES:
        with tempfile.TemporaryDirectory() as folder:
            model = load.causal_lm(
                tiny_models.write(name, Path(folder)), torch.float32, torch.device("cpu")
            )
        source = random.Random(name)
        made = [
            Example(tuple(source.choices(range(500), k=n)), ((1, n, 1.0),), "") for n in (9, 23, 4)
        ]
        other = [Example(tuple(source.choices(range(500), k=9)), ((1, 9, 1.0),), ""), *made[1:]]
        with torch.inference_mode():
            packed, changed = (
                model(**collate([rows])[0], use_cache=False).logits[0] for rows in (made, other)
            )
            alone = [model(torch.tensor([row.ids]), use_cache=False).logits[0] for row in made]
        assert torch.equal(packed[9:], changed[9:]), name
        assert not torch.equal(packed[:9], changed[:9]), name
        worst = max(worst, (packed - torch.cat(alone)).abs().max().item())
    assert worst < 1e-4, worst
    return worst


def step(
    model: load.CausalLM, inputs: Inputs, answer_BT: torch.Tensor, dtype: torch.dtype
) -> float:
    """Return the processor seconds of a forward and a backward pass."""
    started = time.process_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        hidden_BTD = model.model(**inputs, use_cache=False).last_hidden_state
        logits_NV = model.lm_head(examples.predicting(hidden_BTD, answer_BT)).float()
        labels_N = inputs["input_ids"][:, 1:][answer_BT[:, 1:]]
        torch.nn.functional.cross_entropy(logits_NV, labels_N).backward()
    model.zero_grad(set_to_none=False)
    return time.process_time() - started


def padded(rows: Sequence[Example]) -> tuple[Inputs, torch.Tensor]:
    """Return a model's inputs and the answers of a batch as training makes it."""
    ids_BT, answer_BT = examples.collate(rows)
    return {"input_ids": ids_BT}, answer_BT


def compare(
    model: load.CausalLM, rows: Sequence[Example], size: int, steps: int, dtype: torch.dtype
) -> dict[str, float]:
    """Return microseconds a real token of both ways, medians over steps, and their ratio."""
    lengths = [len(row.ids) for row in rows]
    plan = pack(lengths, size, 0, 0)
    per_batch = max(1, round(BATCH_ROWS * statistics.mean(lengths) / size))
    batches = [plan[i : i + per_batch] for i in range(0, len(plan), per_batch)]
    order = examples.order(rows, BATCH_ROWS, 0, 0)

    def of_order(number: int) -> Batch:
        batch = [rows[row] for row in order[number % len(order)]]
        return sum(len(row.ids) for row in batch), padded(batch)

    def of_packs(number: int) -> Batch:
        packs = [[rows[row] for row in rows_of] for rows_of in batches[number % len(batches)]]
        return sum(len(row.ids) for part in packs for row in part), collate(packs)

    ways: dict[str, Callable[[int], Batch]] = {"padded": of_order, "packed": of_packs}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(-1, steps):
        for name, way in ways.items():
            tokens, (inputs, answer_BT) = way(number)
            seconds = step(model, inputs, answer_BT, dtype)
            if number >= 0:  # the first of each touches its memory for the first time
                times[name].append(1e6 * seconds / tokens)
    found = {f"{name}_us_a_token": round(statistics.median(t), 1) for name, t in times.items()}
    pairs = zip(times["padded"], times["packed"], strict=True)
    ratios = sorted(one / other for one, other in pairs)
    found["speed_up"] = round(found["padded_us_a_token"] / found["packed_us_a_token"], 3)
    return found | {"pair_low": round(ratios[0], 3), "pair_high": round(ratios[-1], 3)}


def shares(rows: Sequence[Example], size: int) -> dict[str, float]:
    """Return how much of both ways' batches is padding, over an epoch."""
    lengths = [len(row.ids) for row in rows]
    total = sum(lengths)
    order = examples.order(rows, BATCH_ROWS, 0, 0)
    bucketed = sum(len(batch) * max(lengths[row] for row in batch) for batch in order)
    packed = size * len(pack(lengths, size, 0, 0))
    return {
        "padding_padded": round(1 - total / bucketed, 4),
        "padding_packed_at_most": round(1 - total / packed, 4),
    }


def main() -> None:
    """Check, measure, print one JSON line a claim."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("rows", "vocabulary", "model"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 512])
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--layers", type=int, default=6)
    args = parser.parse_args()
    print(json.dumps({"claim": "packed rows leak nothing", "difference": check_nothing_leaks()}))
    chat = ChatTokenizer(args.vocabulary)
    rows = list(table.open(args.rows, chat))
    torch.set_num_threads(1)
    torch.manual_seed(0)
    sizes = {"vocab_size": chat.vocab_size, "num_hidden_layers": args.layers}
    model = load.from_config(checkpoint.read_config(args.model) | sizes)
    for size in args.sizes:
        print(json.dumps({"claim": f"padding, {len(rows)} rows, {size}", **shares(rows, size)}))
    for dtype in (torch.float32, torch.bfloat16):
        for size in args.sizes:
            found = compare(model, rows, size, args.steps, dtype)
            claim = f"packed into {size} against {BATCH_ROWS} rows padded, {dtype}"
            print(json.dumps({"claim": claim, **found, "n": args.steps, "goal": 1.1}), flush=True)


if __name__ == "__main__":
    main()
