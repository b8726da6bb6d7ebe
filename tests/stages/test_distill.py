"""One student a call: with the teacher's logits, with labels alone, or left as it starts."""

import csv
import math
import shutil

import pytest
import torch
import yaml
from potstill import files, int8, runtime
from potstill.distill import adapters
from potstill.errors import InputError
from potstill.export import build
from potstill.loading import load
from potstill.logits import caching, live, members
from potstill.models import checkpoint
from potstill.tokens import folds
from transformers import AutoModelForCausalLM

from stages import cache_logits, distill
from tests.distill.runs import WIDE, live_signal
from tests.stages.conftest import chat, pair, tokens_of
from tests.tiny_project import ROOT

SETTINGS = {
    "start": "pruned",
    "signal": "signals/logits",
    "alpha": 0.5,
    "temperature": 2.0,
    "steps": 4,
    "batch_rows": 4,
    "pass_tokens": 1024,
    "learning_rate": 1e-2,
    "warmup_steps": 1,
    "weight_decay": 0.0,
    "clip_norm": 1.0,
    "evaluate_every": 2,
    "checkpoint_every": 2,
    "max_rows": 12,
    "chunk_tokens": 16,
    "precision": "float32",
    "threads": 2,
    "seed": 0,
}
ROUNDED = {"quantisation": "int8_channel", "after": 0.5, "min_cosine": 0.5}


@pytest.fixture
def logits(tiny_llama, tokens, tmp_path):
    (tmp_path / "s").mkdir()
    params = cache_logits.Params(
        teacher="teacher_adapted", codec="topk", k=8, min_kept_mass_mean=0.0, allow_seen=False,
        max_rows=12, batch_rows=4, threads=2, seed=0,
    )  # fmt: skip
    cache_logits.main(
        params,
        teacher=tiny_llama,
        rows=tokens / "train.arrow",
        out=tmp_path / "logits",
        scratch=tmp_path / "s",
    )
    return tmp_path / "logits"


def train(tiny_llama, tokens, logits, tmp_path, name, **changes):
    metrics = distill.main(
        distill.Params(**(SETTINGS | changes)),
        student=tiny_llama,
        tokens=tokens,
        signal=logits,
        out=tmp_path / name,
        measures_out=tmp_path / f"measures-{name}",
        scratch=tmp_path / f"scratch-{name}",
    )
    with (tmp_path / f"measures-{name}/history.csv").open() as file:
        return metrics, list(csv.DictReader(file))


def test_labels_lower_the_loss_and_the_history_tells(tiny_llama, tokens, logits, tmp_path):
    start, none = train(tiny_llama, tokens, logits, tmp_path, "untrained", steps=0)
    metrics, history = train(tiny_llama, tokens, logits, tmp_path, "labels", alpha=1.0)
    assert none == []
    assert metrics["test_nll_nats"] < start["test_nll_nats"]
    assert [bool(row["validation_nll"]) for row in history] == [False, True, False, True]
    assert all(float(row["divergence"]) == 0 for row in history)
    assert metrics["num_tokens"] == int(history[-1]["tokens"]) > 0
    assert metrics["seed"] == start["seed"] == SETTINGS["seed"]
    for split in ("validation", "test"):
        rows, before = (
            list(files.read_jsonl(tmp_path / f"measures-{name}/{split}.jsonl"))
            for name in ("labels", "untrained")
        )
        assert [row["id"] for row in rows] == [row["id"] for row in before]
        nats, total = (sum(row[key] for row in rows) for key in ("nll_nats", "tokens"))
        assert metrics[f"{split}_nll_nats"] == pytest.approx(nats / total, abs=1e-5)
        assert (len(rows), total) == (metrics[f"{split}_rows"], metrics[f"{split}_tokens"])


def test_the_curve_reads_validation_alone(tiny_llama, dataset, logits, tmp_path):
    """It leads choices; the rows that are reported have no part in it."""
    curves = {}
    for changed, first in (("nothing", 40), ("test", 50), ("validation", 60)):
        files.write_jsonl(dataset / f"{changed}.jsonl", (chat(n) for n in range(first, first + 4)))
        tokens = tokens_of(dataset, tiny_llama, tmp_path / f"tokens-{changed}")
        metrics, history = train(tiny_llama, tokens, logits, tmp_path, changed)
        curves[changed] = [float(row["validation_nll"]) for row in history if row["validation_nll"]]
        assert curves[changed][-1] == metrics["validation_nll_nats"] != metrics["test_nll_nats"]
    assert curves["test"] == curves["nothing"]
    assert all(a != b for a, b in zip(curves["validation"], curves["nothing"], strict=True))


@pytest.mark.parametrize("adapter", [None, {"kind": "lora", "r": 4, "alpha": 8.0}])
def test_without_steps_the_weights_are_the_start(tiny_llama, tokens, logits, tmp_path, adapter):
    train(tiny_llama, tokens, logits, tmp_path, "untrained", steps=0, adapter=adapter)
    before, after = checkpoint.read_state(tiny_llama), checkpoint.read_state(tmp_path / "untrained")
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())
    assert not (tmp_path / "untrained/adapter").exists()


def test_the_likelihood_is_in_float32_whatever_the_training_multiplies_in(
    tiny_llama, tokens, logits, tmp_path
):
    exact, _ = train(tiny_llama, tokens, logits, tmp_path, "a", steps=0, precision="float32")
    mixed, _ = train(tiny_llama, tokens, logits, tmp_path, "b", steps=0, precision="bfloat16")
    assert exact == mixed
    low, value, high = (exact[f"test_bits_per_byte{end}"] for end in ("_low", "", "_high"))
    assert low <= value <= high
    nats = exact["test_nll_nats"] * exact["test_tokens"]
    assert value == pytest.approx(nats / math.log(2) / exact["test_bytes"], abs=1e-4)


def test_the_rate_in_force_is_in_the_metrics(tiny_llama, tokens, logits, tmp_path):
    stated, _ = train(tiny_llama, tokens, logits, tmp_path, "a")
    ruled, history = train(tiny_llama, tokens, logits, tmp_path, "b", learning_rate=None)
    untrained, _ = train(tiny_llama, tokens, logits, tmp_path, "c", steps=0)
    rates = [metrics["learning_rate"] for metrics in (stated, ruled, untrained)]
    assert rates == [1e-2, 1e-4, 0.0]
    assert max(float(row["lr"]) for row in history) == 1e-4


def test_distilling_twice_gives_the_same_bytes(tiny_llama, tokens, logits, tmp_path):
    first, history = train(tiny_llama, tokens, logits, tmp_path, "a")
    second, _ = train(tiny_llama, tokens, logits, tmp_path, "b")
    assert first == second
    assert any(float(row["divergence"]) > 0 for row in history[1:])
    assert files.sha256_tree(tmp_path / "a") == files.sha256_tree(tmp_path / "b")


@pytest.mark.parametrize(
    "adapter",
    [{"kind": "lora", "r": 4, "alpha": 8.0, "dropout": 0.1}, {"kind": "vectors"}],
    ids=["lora", "vectors"],
)
def test_adapters_make_an_ordinary_checkpoint_and_the_same_bytes_again(
    tiny_llama, tokens, logits, tmp_path, adapter
):
    how = {"adapter": adapter, "precision": "bfloat16"}
    start, _ = train(tiny_llama, tokens, logits, tmp_path, "untrained", steps=0)
    metrics, history = train(tiny_llama, tokens, logits, tmp_path, "a", **how)
    again, _ = train(tiny_llama, tokens, logits, tmp_path, "b", **how)
    assert metrics == again
    assert files.sha256_tree(tmp_path / "a") == files.sha256_tree(tmp_path / "b")
    assert checkpoint.headers(tmp_path / "a") == checkpoint.headers(tmp_path / "untrained")
    assert metrics["num_trained"] < metrics["num_parameters"] == start["num_trained"]
    assert metrics["test_nll_nats"] < start["test_nll_nats"]
    # half-way it is measured as at the end, merged and in float32: loading it gives the same
    assert float(history[1]["validation_nll"]) > metrics["validation_nll_nats"]
    loaded, _ = train(tmp_path / "a", tokens, logits, tmp_path, "loaded", steps=0)
    assert loaded["test_nll_nats"] == metrics["test_nll_nats"]


def test_the_adapter_that_is_saved_makes_the_student_of_its_start(
    tiny_llama, tokens, logits, tmp_path
):
    """By peft itself, as somebody does who has the start and not the student."""
    from peft import PeftModel

    how = {"adapter": {"kind": "lora", "r": 4, "alpha": 8.0, "targets": ["q_proj", "down_proj"]}}
    train(tiny_llama, tokens, logits, tmp_path, "a", learning_rate=0.02, **how)
    start = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    before = {name: weight.clone() for name, weight in start.state_dict().items()}
    made = PeftModel.from_pretrained(start, tmp_path / "a/adapter").merge_and_unload().state_dict()
    wanted = checkpoint.read_state(tmp_path / "a")
    for name, weight in wanted.items():
        torch.testing.assert_close(made[name], weight, rtol=1e-6, atol=1e-6)
        changed = name.endswith(("q_proj.weight", "down_proj.weight"))
        assert torch.equal(before[name], weight) != changed


@pytest.mark.parametrize(
    "adapter",
    [None, {"kind": "lora", "r": 4, "alpha": 8.0}, {"kind": "vectors"}],
    ids=["all weights", "lora", "vectors"],
)
def test_a_share_of_what_was_learnt_is_delivered_and_measured(
    tiny_llama, tokens, logits, tmp_path, adapter
):
    """Half-way between the start and what was trained; its adapter says the same to the byte."""
    how = {"adapter": adapter, "alpha": 1.0, "learning_rate": 0.02}
    full, trained = train(tiny_llama, tokens, logits, tmp_path, "full", **how)
    half, history = train(tiny_llama, tokens, logits, tmp_path, "half", interpolation=0.5, **how)
    before, after, between = (
        checkpoint.read_state(tmp_path / name) for name in (tiny_llama, "full", "half")
    )
    for name, tensor in between.items():
        middle = (before[name].double() + after[name].double()) / 2
        assert (tensor.double() - middle).abs().max() <= 2e-7 * middle.abs().max()
    assert any(not torch.equal(between[name], before[name]) for name in between)
    loaded, _ = train(tmp_path / "half", tokens, logits, tmp_path, "loaded", steps=0)
    for split in ("validation", "test"):
        name = f"{split}_nll_nats"
        assert full[name] < half[name] == loaded[name]
    assert float(history[-1]["validation_nll"]) == half["validation_nll_nats"]
    assert history[:-1] == trained[:-1]
    if adapter:
        adapters.apply(tmp_path / "full/adapter", tiny_llama, tmp_path / "applied", 0.5)
        adapters.apply(tmp_path / "half/adapter", tiny_llama, tmp_path / "again")
        made, again = (checkpoint.read_state(tmp_path / name) for name in ("applied", "again"))
        for name, tensor in between.items():
            assert torch.equal(made[name], tensor)
            assert torch.equal(again[name], tensor)


def test_with_patience_the_weights_of_the_lowest_validation_loss_are_delivered(
    tiny_llama, tokens, logits, tmp_path
):
    """The rate is so high that the first step is the best, and all later ones do harm."""
    how = {"alpha": 1.0, "learning_rate": 0.5, "evaluate_every": 1, "steps": 9}
    metrics, history = train(tiny_llama, tokens, logits, tmp_path, "a", patience=2, **how)
    losses = [float(row["validation_nll"]) for row in history]
    best = losses.index(min(losses)) + 1
    assert (metrics["delivered_step"], metrics["steps"]) == (best, best + 2)
    assert len(history) == best + 2 < 9
    assert [int(row["step"]) for row in history if row["delivered"]] == [best]
    loaded, _ = train(tmp_path / "a", tokens, logits, tmp_path, "loaded", steps=0)
    assert loaded["validation_nll_nats"] == metrics["validation_nll_nats"] == min(losses)


def test_a_training_that_is_watched_makes_the_same_bytes(tiny_llama, tokens, logits, tmp_path):
    """Dropout draws in every step, so a draw too many would show."""
    how = {
        "adapter": {"kind": "lora", "r": 4, "alpha": 8.0, "dropout": 0.3},
        "gradient_checkpointing": True,
    }
    plain, history = train(tiny_llama, tokens, logits, tmp_path, "a", **how)
    watched, told = train(tiny_llama, tokens, logits, tmp_path, "b", inside={"rows": 3}, **how)
    assert watched == plain
    assert files.sha256_tree(tmp_path / "a") == files.sha256_tree(tmp_path / "b")
    assert [row["inside_n"] for row in told] == ["", "3", "", "3"]
    assert all(0 <= float(row["inside_share"]) <= 1 for row in told if row["inside_n"])
    nothing = {"inside_share": "", "inside_n": ""}
    assert [row | nothing for row in told] == history


def test_rounded_weights_are_measured_watched_and_delivered(tiny_llama, tokens, logits, tmp_path):
    how = {"alpha": 1.0, "interpolation": 0.7, "qat": ROUNDED}
    metrics, history = train(tiny_llama, tokens, logits, tmp_path, "qat", **how)
    plain, other = train(tiny_llama, tokens, logits, tmp_path, "plain", **how | {"qat": None})
    assert [float(row["lr"]) for row in history] == pytest.approx(
        [float(row["lr"]) * rate for row, rate in zip(other, (1, 1, 0.1, 0.1), strict=True)]
    )
    assert [row["loss"] for row in history[:2]] == [row["loss"] for row in other[:2]]
    for row, same in zip(history, other, strict=True):
        assert bool(row["layer_cosine"]) == bool(row["validation_nll"])
        assert same["layer_cosine"] == ""
    # before the switch too what is measured is what would be delivered
    assert history[1]["validation_nll"] != other[1]["validation_nll"]
    assert 0.99 < float(history[-1]["layer_cosine"]) == metrics["layer_cosine"] < 1 - 1e-9
    assert "layer_cosine" not in plain
    loaded, _ = train(tmp_path / "qat", tokens, logits, tmp_path, "loaded", steps=0, qat=ROUNDED)
    assert float(history[-1]["validation_nll"]) == metrics["validation_nll_nats"]
    for split in ("validation", "test"):
        assert loaded[f"{split}_nll_nats"] == metrics[f"{split}_nll_nats"]
    for weight in checkpoint.read_state(tmp_path / "qat").values():
        same = weight.ndim == 2 and torch.allclose(weight, int8.rounded(weight), rtol=1e-6, atol=0)
        assert same == (weight.ndim == 2)


def test_the_presets_student_and_its_control_go_through_the_same_export(
    tiny_llama, tokens, logits, tmp_path
):
    """At the preset's own steps and settings, on tiny rows; the file of kd_qat loses less."""
    students = yaml.safe_load((ROOT / "presets/qat.yaml").read_text())["students"]
    params = yaml.safe_load((ROOT / "params.yaml").read_text())["students"]
    lost, rates = {}, {}
    ids = [3, 77, 12, 401, 9, 9, 250, 31, 8]
    for name, settings in {"kd": params["kd"], "kd_qat": students["kd_qat"]}.items():
        how = settings | {"evaluate_every": 0}
        _, history = train(tiny_llama, tokens, logits, tmp_path, name, **how)
        rates[name] = [float(row["lr"]) for row in history]
        artefact, student = tmp_path / f"{name}-int8_channel", tmp_path / name
        build.build(student, artefact, format="onnx", quantisation="int8_channel")
        got = runtime.load(artefact, threads=2, context=64).logits(ids)
        lost[name] = abs(got - load.ReferenceModel(student, 2).logits(ids)).mean()
    assert len(rates["kd"]) == len(rates["kd_qat"]) == 16
    share = [qat / plain for qat, plain in zip(rates["kd_qat"], rates["kd"], strict=True)]
    assert share == pytest.approx([1.0] * 12 + [0.1] * 4)
    assert 0 < lost["kd_qat"] < lost["kd"]


def test_a_watched_training_with_rounded_weights_makes_the_same_bytes(
    tiny_llama, tokens, logits, tmp_path
):
    made = set()
    for every in (0, 1):
        how = {"alpha": 1.0, "qat": ROUNDED, "evaluate_every": every}
        train(tiny_llama, tokens, logits, tmp_path, str(every), **how)
        made.add(files.sha256_tree(tmp_path / str(every)))
    assert len(made) == 1


def test_what_is_quantised_already_is_not_trained_with_rounded_weights(
    tiny_llama, tokens, logits, tmp_path
):
    start = shutil.copytree(tiny_llama, tmp_path / "start")
    config = checkpoint.read_config(start) | {"quantization_config": {"quant_method": "gptq"}}
    files.write_json(start / "config.json", config)
    with pytest.raises(InputError, match=r"quantization_config is .*gptq"):
        train(start, tokens, logits, tmp_path, "a", alpha=1.0, qat=ROUNDED)


def test_layers_that_drift_end_the_stage(tiny_llama, tokens, logits, tmp_path):
    how = {"alpha": 1.0, "qat": ROUNDED | {"min_cosine": 1 - 1e-12}, "evaluate_every": 0}
    with pytest.raises(InputError, match=r"^step 4: with rounded weights.*qat\.min_cosine"):
        train(tiny_llama, tokens, logits, tmp_path, "a", **how)
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"qat": ROUNDED},
        {"adapter": {"kind": "lora", "r": 4, "alpha": 8.0}, "evaluate_every": 1, "patience": 2},
        {"adapter": {"kind": "vectors"}, "evaluate_every": 1, "interpolation": 0.5},
    ],
    ids=["all weights", "rounded", "lora", "vectors"],
)
def test_two_processes_make_the_student_of_one(tiny_llama, tokens, logits, tmp_path, changes):
    assert_shared_as_alone(tiny_llama, tokens, logits, tmp_path, **changes)


def assert_shared_as_alone(tiny_llama, tokens, logits, tmp_path, **changes):
    """Train by one process and by two; all that is measured and delivered is the same."""
    one, history = train(tiny_llama, tokens, logits, tmp_path, "one", **changes)
    two, other = train(tiny_llama, tokens, logits, tmp_path, "two", processes=2, **changes)
    assert two.keys() == one.keys()
    for name, value in two.items():
        assert value == (
            one[name] if isinstance(value, str) else pytest.approx(one[name], rel=1e-4)
        )
    assert [row["step"] for row in other] == [row["step"] for row in history]
    for row, same in zip(history, other, strict=True):
        assert float(same["loss"]) == pytest.approx(float(row["loss"]), abs=1e-5)
        assert {name for name in same if same[name]} == {name for name in row if row[name]}
    assert checkpoint.headers(tmp_path / "two") == checkpoint.headers(tmp_path / "one")
    start, alone = checkpoint.read_state(tiny_llama), checkpoint.read_state(tmp_path / "one")
    for name, tensor in checkpoint.read_state(tmp_path / "two").items():
        # where a gradient is next to nothing Adam divides its rounding by as little
        assert (tensor - alone[name]).norm() <= 1e-3 * (alone[name] - start[name]).norm() + 1e-6


def test_phases_choose_rows_by_what_the_data_set_says_of_them(
    tiny_llama, dataset, logits, tmp_path
):
    rows = list(files.read_jsonl(dataset / "train.jsonl"))
    origins = ["mined" if n % 2 else "teacher" for n in range(len(rows))]
    told = (row | {"origin": origin} for row, origin in zip(rows, origins, strict=True))
    files.write_jsonl(dataset / "train.jsonl", list(told))
    tokens = tokens_of(dataset, tiny_llama, tmp_path / "told")
    phases = [
        {"steps": 2, "rows": {"origin": ["mined"]}, "learning_rate": 2e-2},
        {"steps": 2, "rows": {"origin": ["teacher"]}},
    ]
    how = {"alpha": 1.0, "phases": phases}
    metrics, history = train(tiny_llama, tokens, logits, tmp_path, "a", **how)
    rates = [float(row["lr"]) for row in history]
    assert rates == pytest.approx([2e-2, 2e-2, 1e-2, 1e-2])
    assert metrics["learning_rate"] == 2e-2
    phases[1] |= {"rows": {"origin": ["slip"]}}
    with pytest.raises(InputError, match=r"none of 12 rows has .*'slip'.*'mined', 'teacher'"):
        train(tiny_llama, tokens, logits, tmp_path, "b", **how)


def test_logits_of_another_tokenizer_are_refused(tiny_qwen2, tokens, logits, tmp_path):
    with pytest.raises(InputError, match=r"tokenizer_sha256.*run cache_logits"):
        train(tiny_qwen2, tokens, logits, tmp_path, "a")


def test_one_store_serves_every_objective_and_temperature(tiny_llama, tokens, logits, tmp_path):
    plain, _ = train(tiny_llama, tokens, logits, tmp_path, "a", alpha=0.0)
    for number, changes in enumerate(
        [
            {"temperature": 4.0},
            {"objective": "reverse_kl"},
            {"objective": "jensen_shannon", "beta": 0.3},
            {"margin": 0.2},
        ]
    ):
        other, history = train(
            tiny_llama, tokens, logits, tmp_path, f"b{number}", alpha=0.0, **changes
        )
        assert other["train_loss_last"] != plain["train_loss_last"]
        assert any(float(row["divergence"]) > 0 for row in history[1:])


def test_a_live_teacher_trains_as_its_store_does_and_the_same_bytes_again(
    tiny_llama, tokens, logits, tmp_path
):
    live.write(tmp_path / "live", caching.describe(tiny_llama, codec="live", k=0, seed=0))
    stored, _ = train(tiny_llama, tokens, logits, tmp_path, "stored")
    first, _ = train(tiny_llama, tokens, tmp_path / "live", tmp_path, "a")
    again, _ = train(tiny_llama, tokens, tmp_path / "live", tmp_path, "b")
    assert (first["signals"], stored["signals"]) == ("live", "logits")
    assert first == again
    assert files.sha256_tree(tmp_path / "a") == files.sha256_tree(tmp_path / "b")
    assert first["test_nll_nats"] == pytest.approx(stored["test_nll_nats"], rel=0.02)


def test_layers_of_a_live_teacher_are_followed_and_their_maps_are_not_delivered(
    tiny_llama, tokens, logits, tmp_path
):
    how = {"hidden": {"weight": 1.0, "projection": "learned"}, "alpha": 1.0}
    with pytest.raises(InputError, match="logits stores distributions alone: take a signal of"):
        train(tiny_llama, tokens, logits, tmp_path, "stored", **how)
    live.write(tmp_path / "live", caching.describe(tiny_llama, codec="live", k=0, seed=0))
    metrics, history = train(tiny_llama, tokens, tmp_path / "live", tmp_path, "a", **how)
    plain, _ = train(tiny_llama, tokens, logits, tmp_path, "plain", alpha=1.0)
    assert [row["hidden"] != "" for row in history] == [True] * 4
    assert checkpoint.headers(tmp_path / "a") == checkpoint.headers(tmp_path / "plain")
    assert metrics["num_parameters"] == plain["num_parameters"]
    assert metrics["num_trained"] == plain["num_trained"]
    assert metrics["test_nll_nats"] != plain["test_nll_nats"]


def test_pairs_are_learnt_from_a_start_that_was_trained(tiny_llama, dataset, logits, tmp_path):
    how = {"preference": {"beta": 0.5}, "signal": "tokens", "alpha": 1.0, "folds": [1]}
    rows = [row | {"group": f"family{n % 2}"} for n in range(8) for row in pair(n)]
    files.write_jsonl(dataset / "pairs.jsonl", rows)
    tokens = tokens_of(dataset, tiny_llama, tmp_path / "told")
    train(tiny_llama, tokens, logits, tmp_path, "kd", alpha=1.0, folds=[0])
    metrics, history = train(tmp_path / "kd", tokens, logits, tmp_path, "dpo", **how)
    assert float(history[0]["loss"]) == pytest.approx(math.log(2), abs=1e-5)
    assert float(history[-1]["margin"]) > 0
    assert float(history[-1]["correct"]) == 1
    assert [row["divergence"] for row in history] == [""] * 4
    assert metrics["num_tokens"] == int(history[-1]["tokens"]) > 0
    assert folds.trained_on(tmp_path / "dpo") == [0, 1]
    (tokens / "pairs.arrow").unlink()
    with pytest.raises(InputError, match=r"no pairs of answers.*raise curate\.slips"):
        train(tmp_path / "kd", tokens, logits, tmp_path, "none", **how)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{}, {"adapter": {"kind": "lora", "r": 4, "alpha": 8.0}, "evaluate_every": 1}]
)
def test_two_processes_follow_a_wider_teachers_layers_as_one(tiny_llama, tokens, tmp_path, changes):
    how = {"hidden": {"weight": 1.0}, **changes}
    signal = live_signal(tiny_llama, tmp_path, **WIDE)
    assert_shared_as_alone(tiny_llama, tokens, signal, tmp_path, **how)


@pytest.mark.slow
def test_two_processes_learn_from_pairs_as_one(tiny_llama, dataset, logits, tmp_path):
    how = {"preference": {"beta": 0.5}, "signal": "tokens", "alpha": 1.0}
    files.write_jsonl(dataset / "pairs.jsonl", [row for n in range(8) for row in pair(n)])
    tokens = tokens_of(dataset, tiny_llama, tmp_path / "told")
    assert_shared_as_alone(tiny_llama, tokens, logits, tmp_path, **how)


def test_a_student_of_two_half_teachers_has_a_signal_of_all_rows(tiny_llama, tokens, tmp_path):
    (tmp_path / "signals").mkdir()
    for fold, k in ((0, 8), (1, 8)):
        teacher = shutil.copytree(tiny_llama, tmp_path / f"teacher{fold}")
        folds.record(teacher, [fold])
        (tmp_path / f"s{fold}").mkdir()
        cache_logits.main(
            cache_logits.Params(
                teacher=f"teacher_{fold}", codec="topk", k=k, min_kept_mass_mean=0.0,
                allow_seen=False, max_rows=12, batch_rows=4, threads=2, seed=0,
            ),
            teacher=teacher,
            rows=tokens / "train.arrow",
            out=tmp_path / f"signals/half{fold}",
            scratch=tmp_path / f"s{fold}",
        )  # fmt: skip
    members.write(tmp_path / "both", tmp_path / "signals", {"half0": 1.0, "half1": 1.0}, {})
    metrics, _ = train(tiny_llama, tokens, tmp_path / "both", tmp_path, "a")
    assert metrics["signals"] == "half0,half1"
    one, _ = train(tiny_llama, tokens, tmp_path / "signals/half0", tmp_path, "b", folds=[1])
    assert one["signals"] == "half0"
    with pytest.raises(
        InputError, match=r"half0 has no row .* \(4 of 12 are missing\).*other folds"
    ):
        train(tiny_llama, tokens, tmp_path / "signals/half0", tmp_path, "c")


def test_a_student_has_learnt_its_folds_and_those_of_its_start(
    tiny_llama, tokens, logits, tmp_path
):
    start = shutil.copytree(tiny_llama, tmp_path / "start")
    folds.record(start, [0])
    for name, changes, learnt in [
        ("a", {"folds": [1]}, [0, 1]),
        ("b", {"folds": [0]}, [0]),
        ("c", {"folds": [1], "steps": 0}, [0]),
    ]:
        train(start, tokens, logits, tmp_path, name, alpha=1.0, **changes)
        assert folds.trained_on(tmp_path / name) == learnt
    train(tiny_llama, tokens, logits, tmp_path, "d", alpha=1.0, steps=0)
    assert folds.trained_on(tmp_path / "d") == []


def test_a_chat_template_that_changed_is_refused(tiny_llama, tokens, logits, tmp_path):
    student = shutil.copytree(tiny_llama, tmp_path / "student")
    template = student / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|im_start|>", "<|im_start|> "))
    with pytest.raises(InputError, match="template_sha256"):
        train(student, tokens, logits, tmp_path, "a")


def test_a_student_of_another_family_learns_the_same_rows_in_its_own_ids(
    tiny_llama, tiny_qwen2, dataset, tokens, logits, tmp_path
):
    """As a start with `vocabulary: whole` does, on labels alone."""
    metrics, history = train(tiny_qwen2, tokens, logits, tmp_path, "own", alpha=1.0)
    made = tokens_of(dataset, tiny_qwen2, tmp_path / "qwen_tokens")
    same, direct = train(tiny_qwen2, made, logits, tmp_path, "direct", alpha=1.0)
    assert (metrics, history) == (same, direct)
    assert files.sha256_tree(tmp_path / "own") == files.sha256_tree(tmp_path / "direct")


def test_rows_that_the_students_own_tokenizer_cannot_keep_are_counted(
    tiny_qwen2, tokens, logits, tmp_path
):
    student = shutil.copytree(tiny_qwen2, tmp_path / "student")
    template = student / "chat_template.jinja"
    refusing = "{% if '22' in messages[1].content or '11' in messages[1].content %}{{ nothing[0] }}"
    template.write_text(refusing + "{% endif %}" + template.read_text())
    metrics, _ = train(student, tokens, logits, tmp_path, "a", alpha=1.0)
    assert metrics["rows_rejected_template_refuses"] == 1  # of the training rows
    assert metrics["test_rows"] == 5
