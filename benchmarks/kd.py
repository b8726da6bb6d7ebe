"""One training step here against TRL's GKD trainer, and its SFT trainer: time and peak memory.

`python -m benchmarks.kd` prints a JSON line for time and one for memory of each case. Both sides
train a random model of the same shape on the same rows with fused AdamW: with forward KL to the
same teacher at T = 1 (TRL's trainer takes no other: it does not hand its temperature to its loss),
or on labels alone. TRL runs the teacher beside the student; here its distributions were cached
before, which is told apart and is done once for all students, epochs and settings. Neither side
computes layers twice, and both hold a teacher in the dtype of products. Each run is a process of
its own, in turn one of each side; the ratio is of medians over all steps but each run's first.
Other work on the machine lowers both sides, not evenly.
"""

import argparse
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from potstill import params
from potstill.distill import training
from potstill.distill.objective import Objective
from potstill.distill.recipe import Recipe
from potstill.loading import attention, load, norms
from potstill.logits import caching
from potstill.logits.codecs import CODECS
from potstill.logits.store import Header, LogitStore
from potstill.tokens.examples import Example

from benchmarks import padded

LENGTH, PROMPT, KEPT = 194, 97, 50
STEPS, REPEATS, THREADS = 4, 3, 2
HERE = Path(__file__).resolve().parents[1]
SMOLLM2 = {
    "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
    "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49_152,
    "tie_word_embeddings": True, "rms_norm_eps": 1e-5,
}  # fmt: skip
QWEN = {
    "model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
    "num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 151_936,
    "tie_word_embeddings": True, "rms_norm_eps": 1e-6,
}  # fmt: skip


class Case(NamedTuple):
    """A student and its teacher; `trimmed` is the vocabulary that our student keeps."""

    student: dict[str, Any]
    teacher: dict[str, Any] | None  # None: labels alone
    trimmed: int
    rows: int
    goals: dict[str, float]  # times TRL, by dtype
    memory_goal: float  # of TRL's


CASES = {
    # the 15-layer half of SmolLM2 after the whole of it
    "smollm2": Case(
        SMOLLM2 | {"num_hidden_layers": 15}, SMOLLM2, 49_152, 4,
        {"float32": 1.8, "bfloat16": 3}, 0.5,
    ),
    # a quarter of Qwen2.5-0.5B after a half of it: with more layers or rows TRL's side is over 8 GB
    "qwen": Case(
        QWEN | {"num_hidden_layers": 6}, QWEN | {"num_hidden_layers": 12}, 32_768, 2,
        {"float32": 4, "bfloat16": 4}, 0.5,
    ),
    # the teacher of the default run on labels: below these TRL's own loop could take its place
    "sft": Case(
        SMOLLM2 | {"vocab_size": 12_288}, None, 12_288, 4,
        {"float32": 1.1, "bfloat16": 1.1}, 0.9,
    ),
}  # fmt: skip


def models(case: Case, vocabulary: int) -> tuple[load.CausalLM, load.CausalLM | None]:
    """Return the student and the teacher with random weights, both with a vocabulary."""
    torch.manual_seed(0)
    size = {"vocab_size": vocabulary}
    student = load.from_config(case.student | size)
    return student, load.from_config(case.teacher | size).eval() if case.teacher else None


def rows_of(case: Case) -> list[Example]:
    """Return the rows that both sides read at each step."""
    source = torch.Generator().manual_seed(1)
    texts = torch.randint(0, case.trimmed, (case.rows, LENGTH), generator=source).tolist()
    return [Example(tuple(x), ((PROMPT, LENGTH, 1.0),), str(n)) for n, x in enumerate(texts)]


def ours(case: Case, dtype: torch.dtype) -> dict[str, Any]:
    """Cache, then train; the caching and the teacher do not count to the steps."""
    student, teacher = models(case, case.trimmed)
    rows, implementation = rows_of(case), attention.register()
    student.set_attn_implementation(implementation)
    norms.lighten(student)
    tree = params.read_params(HERE / "params.yaml")
    recipe = params.build(Recipe, tree, "training", "students.kd").model_copy(
        update={
            "steps": STEPS + 1, "batch_rows": case.rows, "checkpoint_every": 0, "evaluate_every": 1
        }
    )  # fmt: skip
    loss, caching_s = training.Loss(Objective("cross_entropy")), 0.0
    with tempfile.TemporaryDirectory() as folder:
        scratch, store = Path(folder) / "scratch", Path(folder) / "store"
        scratch.mkdir()
        if teacher:
            teacher.set_attn_implementation(implementation)
            version = CODECS["topk"].VERSION
            header = Header("", "", "", case.trimmed, codec="topk", version=version, k=KEPT, seed=0)
            batching = caching.Batching(case.rows)
            started = time.perf_counter()
            caching.cache(teacher.to(dtype), rows, store, header, batching, scratch=scratch)
            caching_s = time.perf_counter() - started
            objective = Objective("forward_kl", alpha=0.0, chunk_tokens=recipe.chunk_tokens)
            loss = training.Loss(objective, LogitStore(store))
        del teacher
        resident_mb()
        ends = [time.perf_counter()]

        def note(_: object) -> dict[str, float]:
            ends.append(time.perf_counter())
            return {}

        training.train(student, rows, loss, recipe, dtype=dtype, scratch=scratch, evaluate=note)
    return {"ends": ends, "mb": resident_mb(), "caching_s": caching_s}


def theirs(case: Case, dtype: torch.dtype) -> dict[str, Any]:
    """Train with TRL, whose GKD trainer runs the teacher at each step."""
    student, teacher = models(case, case.student["vocab_size"])
    ends = train_theirs(student, teacher, [rows_of(case)] * STEPS, dtype)
    return {"ends": ends, "mb": resident_mb()}


def train_theirs(
    student: load.CausalLM,
    teacher: load.CausalLM | None,
    batches: Sequence[Sequence[Example]],
    dtype: torch.dtype,
    optimisers: tuple[Any, Any] = (None, None),
) -> list[float]:
    """Train in place with TRL's GKD trainer, or on labels with its SFT trainer.

    Args:
        student: in float32.
        teacher: whom it follows; None for labels alone.
        batches: the rows of each step.
        dtype: of products.
        optimisers: an optimiser and its schedule instead of TRL's own.

    Returns:
        Times in seconds: when training began, and when each step had ended.
    """
    from datasets import Dataset
    from tokenizers import Tokenizer
    from tokenizers import models as tokenizer_models
    from transformers import PreTrainedTokenizerFast, TrainerCallback
    from trl import SFTConfig, SFTTrainer
    from trl.experimental.gkd import GKDConfig, GKDTrainer

    ends: list[float] = []

    class Note(TrainerCallback):
        def on_train_begin(self, *_: object, **__: object) -> None:
            ends.append(time.perf_counter())

        def on_step_end(self, *_: object, **__: object) -> None:
            ends.append(time.perf_counter())

    def collated(places: list[dict[str, int]]) -> dict[str, torch.Tensor]:
        rows = batches[places[0]["place"]]
        ids_BT, answer_BT = padded.collate(rows)
        lengths_B = torch.tensor([len(row.ids) for row in rows])
        return {
            "input_ids": ids_BT,
            "attention_mask": (torch.arange(ids_BT.shape[1]) < lengths_B[:, None]).long(),
            "labels": ids_BT.masked_fill(~answer_BT, -100),
        }

    plain = Tokenizer(tokenizer_models.WordLevel({"a": 0, "b": 1}, unk_token="a"))  # never used
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="a", pad_token="b")
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "output_dir": folder, "max_steps": len(batches), "per_device_train_batch_size": 1,
            "bf16": dtype == torch.bfloat16, "use_cpu": True, "report_to": "none",
            "save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True,
            "gradient_checkpointing": False, "optim": "adamw_torch_fused", "learning_rate": 1e-4,
            "train_sampling_strategy": "sequential", "remove_unused_columns": False,
            "dataset_kwargs": {"skip_prepare_dataset": True},
        }  # fmt: skip
        common = {
            "data_collator": collated, "processing_class": tokenizer, "callbacks": [Note()],
            "train_dataset": Dataset.from_dict({"place": list(range(len(batches)))}),
            "optimizers": optimisers,
        }  # fmt: skip
        if teacher is None:
            SFTTrainer(student, SFTConfig(**settings), **common).train()
        else:
            config = GKDConfig(lmbda=0.0, beta=0.0, **settings)
            GKDTrainer(student, teacher.to(dtype), config, **common).train()
    return ends


def resident_mb() -> float:
    """Return the highest resident size since it was last asked for (Linux)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next((x for x in status.splitlines() if x.startswith("VmHWM")), None)
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return int(line.split()[1]) / 1024 if line else peak


def compare(name: str, dtype: str) -> None:
    """Run both sides in turn and print a line for time and one for memory."""
    found: dict[str, list[dict[str, Any]]] = {"ours": [], "theirs": []}
    for _ in range(REPEATS):
        for side, runs in found.items():
            command = [sys.executable, "-m", "benchmarks.kd", "--side", side]
            command += ["--cases", name, "--dtypes", dtype]
            answer = subprocess.run(command, check=True, capture_output=True, text=True, cwd=HERE)
            runs.append(json.loads(answer.stdout.splitlines()[-1]))
    steps = {
        side: [b - a for run in runs for a, b in itertools.pairwise(run["ends"][1:])]
        for side, runs in found.items()
    }
    seconds = {side: statistics.median(values) for side, values in steps.items()}
    mb = {side: statistics.median(run["mb"] for run in runs) for side, runs in found.items()}
    case = CASES[name]
    claim = {
        "claim": f"{name}: a step of {case.rows} rows of {LENGTH} tokens, {dtype}",
        "reference": "trl.experimental GKDTrainer" if case.teacher else "trl SFTTrainer",
        "threads": THREADS,
        "n": {side: len(values) for side, values in steps.items()},
    }
    line = claim | {
        "unit": "seconds", "value": round(seconds["ours"], 3),
        "reference_value": round(seconds["theirs"], 3),
        "lowest_highest": {side: [round(min(v), 3), round(max(v), 3)] for side, v in steps.items()},
        "speedup": round(seconds["theirs"] / seconds["ours"], 2), "goal": case.goals[dtype],
        "caching_once_s": round(statistics.median(r["caching_s"] for r in found["ours"]), 2),
    }  # fmt: skip
    print(json.dumps(line), flush=True)
    line = claim | {
        "unit": "MB", "value": round(mb["ours"]), "reference_value": round(mb["theirs"]),
        "ratio": round(mb["ours"] / mb["theirs"], 3), "goal": case.memory_goal,
    }  # fmt: skip
    print(json.dumps(line), flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--dtypes", nargs="+", choices=["float32", "bfloat16"])
    parser.add_argument("--side", choices=["ours", "theirs"], help="one run, in this process")
    args = parser.parse_args()
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    dtypes = args.dtypes or (["float32", "bfloat16"] if fast else ["float32"])
    torch.set_num_threads(THREADS)
    for name in args.cases:
        for dtype in dtypes:
            if args.side:
                side = ours if args.side == "ours" else theirs
                print(json.dumps(side(CASES[name], getattr(torch, dtype))))
            else:
                compare(name, dtype)


if __name__ == "__main__":
    main()
