"""Memory of an adapter's training on a real model, part by part, through the stage's own code.

    python -m benchmarks.adapters gguf:PATH [--vocabulary 0] [--ways NAME ...]

The model is fetched, its vocabulary cut to 32,768 ids (0: left whole), and its own distributions
over made-up rows of TOKENS tokens are cached (top 50). Each way then trains it from that store in a
fresh process, as the stage `distill` does: loading, steps, measuring, writing. A JSON line for each
has the highest resident memory of every part, all and the process' own (see
`benchmarks.resident`), in MB.
"""

import argparse
import json
import keyword
import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from potstill.models.chat import ChatTokenizer
from potstill.sources import fetch as sources
from potstill.tokens import table
from potstill.vocabulary import trimming

from benchmarks.resident import Peak, memory_mb

TOKENS = 512
SIZES = {"train": 2, "validation": 2, "test": 2}
TWICE = {"gradient_checkpointing": True}
WAYS: dict[str, dict[str, Any]] = {
    "adapter": {},
    "adapter, twice": TWICE,
    "adapter, twice, two rows": TWICE | {"batch_rows": 2, "pass_tokens": 2 * TOKENS},
    "adapter, twice, float32": TWICE | {"precision": "float32"},
}
RECIPE = {
    "start": "small", "signal": "signals/own", "alpha": 0.5, "temperature": 2.0, "steps": 2,
    "batch_rows": 1, "pass_tokens": TOKENS, "learning_rate": None, "warmup_steps": 1,
    "weight_decay": 0.01, "clip_norm": 1.0, "evaluate_every": 0, "checkpoint_every": 0,
    "max_rows": 99, "chunk_tokens": 512, "precision": "auto", "threads": 1, "seed": 0,
}  # fmt: skip


def say(chat: ChatTokenizer, split: str, count: int) -> Iterator[dict[str, Any]]:
    """Yield rows of words that have as many tokens as fit into TOKENS, half of them the answer."""
    for number in range(count):
        source = random.Random(f"{split}{number}")
        words, length = source.choices(keyword.kwlist, k=TOKENS), 0
        size = TOKENS // 2
        while length != TOKENS - 1:  # the template's last newline is not trained on
            turns = (("user", words[: size // 2]), ("assistant", words[size // 2 : size]))
            messages = [{"role": role, "content": " ".join(text)} for role, text in turns]
            length = len(chat.encode(chat.render(messages, add_generation_prompt=False))) - 1
            size += 1 if length < TOKENS - 1 else -1
        yield {"messages": messages, "group": f"{split}{number}"}


def prepare(source: str, size: int, folder: Path) -> None:
    """Write the start, the tables and the store of its own distributions."""
    from potstill.loading import device, load
    from potstill.logits import caching

    fetched, start, scratch = folder / "fetched", folder / "start", folder / "scratch"
    if not fetched.exists():
        sources.fetch(source, None, "float16", fetched)
    chat = ChatTokenizer(fetched)
    rows = [row for split, count in SIZES.items() for row in say(chat, split, count)]
    texts = [chat.render(row["messages"], add_generation_prompt=False) for row in rows]
    trimming.choose(fetched, texts, size, folder / "vocabulary")
    trimming.apply(folder / "vocabulary", fetched, start)
    chat = ChatTokenizer(start)
    for split, count in SIZES.items():
        (folder / "tokens").mkdir(exist_ok=True)
        table.write(folder / f"tokens/{split}.arrow", say(chat, split, count), chat, TOKENS)
    place = device.pick_device()
    device.make_deterministic(0, 1)
    header = caching.describe(start, codec="topk", k=50, seed=0)
    scratch.mkdir()
    caching.cache(
        load.causal_lm(start, device.compute_dtype("auto", place), place),
        table.open(folder / "tokens/train.arrow", chat), folder / "signals/own", header,
        caching.Batching(2), scratch=scratch,
    )  # fmt: skip


def measure(folder: Path, changes: dict[str, Any]) -> dict[str, Any]:
    """Train in this process and return the memory of each part."""
    from potstill.distill import adapters, likelihood, student, training
    from potstill.distill.recipe import Recipe
    from potstill.loading import load
    from potstill.models import checkpoint

    recipe = Recipe(**RECIPE | {"adapter": {"kind": "lora", "r": 16, "alpha": 32.0}} | changes)
    found: dict[str, Any] = {"imported": memory_mb()}

    def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            with Peak() as peak:
                result = call(*args, **kwargs)
            key = name if name not in found else f"{name} again"
            found[key] = peak.mb
            return result

        return run

    parts = {
        "load": (load, "causal_lm"), "attach": (adapters, "attach"), "train": (training, "train"),
        "merge": (adapters, "merge"), "likelihood": (likelihood, "measure"),
        "write": (checkpoint, "write"),
    }  # fmt: skip
    for name, (module, attribute) in parts.items():
        patch.object(module, attribute, watched(name, getattr(module, attribute))).start()
    started = time.process_time()
    with tempfile.TemporaryDirectory(dir=folder) as name, Peak() as peak:
        where = Path(name)
        student.train(
            recipe, student.distillation_loss(recipe, folder / "start", folder / "signals/own"),
            start=folder / "start", tokens=folder / "tokens", out=where / "out",
            measures_out=where / "measures", scratch=where / "scratch",
        )  # fmt: skip
    return {"whole": peak.mb, "processor_s": round(time.process_time() - started), "parts": found}


def main() -> None:
    """Prepare, then measure each way in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--vocabulary", type=int, default=32_768)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--folder", type=Path, help="for what is made (3 GB); kept, used again")
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        folder = args.folder or Path(name)
        folder.mkdir(exist_ok=True)
        if not (folder / "signals").exists():
            with context.Pool(1) as pool:
                pool.apply(prepare, (args.model, args.vocabulary, folder))
        for way in args.ways:
            with context.Pool(1) as pool:
                found = pool.apply(measure, (folder, WAYS[way]))
            rounded = json.loads(json.dumps(found), parse_float=lambda text: round(float(text)))
            print(json.dumps({"way": way, "ids": args.vocabulary, **rounded}), flush=True)


if __name__ == "__main__":
    main()
