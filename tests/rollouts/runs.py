"""A curated file of two families, and on-policy trainings of tiny models on it."""

import shutil

from potstill import files
from potstill.models import checkpoint
from potstill.rollouts.recipe import OnPolicy

from stages import distill_on_policy
from tests.distill.runs import live_signal

FAMILIES = ("add", "snake_to_camel", "double")
SETTINGS = {
    "model": "students/kd",
    "signal": "signals/live",
    "objective": "reverse_kl",
    "temperature": 1.0,
    "reward": 0.0,
    "samples": 1,
    "formats": ["code", "complete"],
    "max_tokens": 6,
    "sampling_temperature": 1.0,
    "top_p": 1.0,
    "refresh_every": 1,
    "max_mined": 9,
    "quantisation": "f16",
    "policy": "edgecoder",
    "cpu_s": 4.0,
    "sandbox": "minimum",
    "workers": 2,
    "steps": 4,
    "batch_rows": 4,
    "pass_tokens": 1024,
    "learning_rate": 1e-3,
    "warmup_steps": 1,
    "weight_decay": 0.0,
    "clip_norm": 1.0,
    "evaluate_every": 0,
    "checkpoint_every": 2,
    "max_rows": 12,
    "chunk_tokens": 16,
    "precision": "float32",
    "threads": 2,
    "seed": 0,
}


def recipe(**changes):
    return OnPolicy(**(SETTINGS | changes))


def curated(folder, families=FAMILIES):
    """Write a folder as `curate` does, with a row of each family in Python."""
    folder.mkdir(exist_ok=True)
    rows = [
        {
            "id": f"task-{number}",
            "task": f"Create the function f{number}(a): return {number} plus a.",
            "language": "python",
            "group": family,
            "origin": "reference",
            "licence": "Apache-2.0",
            "code": f"def f{number}(a):\n    return a + {number}",
            "entry_point": f"f{number}",
            "plan": [],
            "tests": [{"args": [1], "expected": number + 1}],
        }
        for number, family in enumerate(families)
    ]
    files.write_jsonl(folder / "accepted.jsonl", rows)
    return folder


def vocabulary_of(start, folder):
    """Write the vocabulary folder of a model whose tokenizer was not cut."""
    if not folder.exists():
        folder.mkdir()
        for name in checkpoint.TOKENIZER_FILES:
            if (start / name).exists():
                shutil.copyfile(start / name, folder / name)
        shutil.copyfile(start / "config.json", folder / "config.json")
        kept = list(range(checkpoint.read_config(start)["vocab_size"]))
        files.write_json(folder / "vocabulary.json", {"source": "", "kept_ids": kept})
    return folder


def train(start, tokens, folder, name, families=FAMILIES, **changes):
    """Train a tiny student beside a random teacher; return the metrics."""
    signal = folder / "live"
    if not signal.exists():
        live_signal(start, folder)
    return distill_on_policy.main(
        recipe(**changes),
        model=start,
        signal=signal,
        curated=curated(folder / "curated", families),
        tokens=tokens,
        vocabulary=vocabulary_of(start, folder / "vocabulary"),
        out=folder / name,
        measures_out=folder / f"measures-{name}",
        scratch=folder / f"scratch-{name}",
    )
