"""KL to the recorded teacher: torch's own, zero of itself, and not run where it is none."""

import math

import numpy as np
import pytest
import torch
from potstill import files, runtime
from potstill.errors import InputError
from potstill.evaluate import divergence, methods
from potstill.loading.load import ReferenceModel
from potstill.models import formats
from potstill.tasks import TASKS, Where
from potstill.tokens import recorded


def chat_rows(held_out):
    for number, row in enumerate(files.read_jsonl(held_out / "test.jsonl")):
        name = "plan" if number % 2 else "code"
        prompt = formats.code_prompt(row["task"], row["language"])
        answer = row["reference"] if name == "code" else formats.numbered(row["plan"])
        yield {"id": row["id"], "group": row["family"], "language": row["language"], "format": name,
               "messages": formats.answered(prompt, answer)}  # fmt: skip


def record(checkpoint, held_out, out, **changes):
    most = {"count": 9, "max_length": 300} | changes
    return recorded.record(
        ReferenceModel(checkpoint, 1), checkpoint, chat_rows(held_out), out, **most
    )


@pytest.fixture(scope="module")
def teacher(tiny_llama, held_out, tmp_path_factory):
    out = tmp_path_factory.mktemp("teacher") / recorded.NAME
    assert record(tiny_llama, held_out, out) == 9
    return out


def test_of_its_own_checkpoint_it_is_nearly_nothing(bench, teacher):
    metrics, rows = bench.score({"divergence": 99}, teacher=teacher)
    assert metrics["divergence.verdict"] == "run"
    assert metrics["divergence.n"] == len(rows) == 9
    assert 0 <= metrics["divergence.kl_nats"] < 1e-3  # weights of 16 bits
    assert metrics["divergence.same_top"] > 0.98
    assert metrics["divergence.vocabulary"] == 509
    assert metrics["divergence.kl_nats.unit"] == "nats a token"
    assert "divergence.kl_nats[format=plan]" in metrics


def test_of_another_model_it_is_torchs(bench, tiny_llama, held_out, tmp_path):
    """The teacher's logits are replaced by others: what is known is then known by torch alone."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    record(tiny_llama, held_out, tmp_path / "own", count=4)
    with safe_open(tmp_path / "own", framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        about = file.metadata()
    generator = np.random.default_rng(0)
    for name, tensor in tensors.items():
        if name.startswith("logits"):
            tensors[name] = generator.normal(0, 3, tensor.shape).astype(np.float32)
    save_file(tensors, tmp_path / "other", metadata=about)
    metrics, rows = bench.score({"divergence": 4}, teacher=tmp_path / "other")
    model = runtime.load(bench.artefact, context=512)
    teaching = recorded.read(tmp_path / "other")
    known = {row["id"]: row for row in rows}
    total, tokens = 0.0, 0
    for number, answer in enumerate(teaching.answers):
        got = torch.from_numpy(model.logits(answer.ids)[answer.start - 1 : -1]).double()
        want = torch.from_numpy(teaching.logits(number)).double()
        own = torch.nn.functional.kl_div(
            got.log_softmax(1), want.log_softmax(1), log_target=True, reduction="sum"
        ).item()
        row = known[answer.row["id"]]
        assert row["kl_nats"] == pytest.approx(own, rel=1e-6)
        assert row["tokens"] == len(answer.ids) - answer.start == len(want)
        assert row["same_top"] == int((got.argmax(1) == want.argmax(1)).sum())
        total, tokens = total + own, tokens + len(want)
    model.close()
    assert metrics["divergence.kl_nats"] == pytest.approx(total / tokens, rel=1e-6)


def test_what_is_recorded_are_the_rows_that_predict_the_answer(tiny_llama, teacher):
    teaching = recorded.read(teacher)
    model = ReferenceModel(tiny_llama, 1)
    for number, answer in enumerate(teaching.answers):
        logits = teaching.logits(number)
        assert np.array_equal(logits, model.logits(answer.ids)[answer.start - 1 : -1])
        assert len(logits) == len(answer.ids) - answer.start
    assert len(teaching.checkpoint_sha256) == 64


def test_rows_that_are_too_long_are_passed_over(tiny_llama, held_out, tmp_path):
    counts = [
        record(tiny_llama, held_out, tmp_path / "t", count=99, max_length=most)
        for most in (1, 150, 999)
    ]
    assert counts[0] == 0 < counts[1] < counts[2] == 48


def test_another_tokenizer_is_not_run(tiny_gguf, held_out, teacher):
    from tests.evaluate.conftest import Bench

    bench = Bench(tiny_gguf("qwen2", "f16"), held_out)
    metrics, rows = bench.score({"divergence": 3}, teacher=teacher)
    assert metrics["divergence.verdict"] == "not-run"
    reason = "the artefact's tokenizer makes other ids than the teacher's"
    assert metrics["divergence.reason"] == f"3 of 3 references cannot be read: {reason}"
    assert "divergence.kl_nats" not in metrics
    assert len(rows) == 3


def test_without_a_teacher_it_is_not_run(bench, tmp_path):
    metrics, _ = bench.score({"divergence": 3})
    assert metrics["divergence.reason"].startswith("no teacher's distributions are given")
    metrics, _ = bench.score({"divergence": 3}, teacher=tmp_path / "none")
    assert metrics["divergence.reason"].endswith("none is missing: run record_reference")
    metrics, _ = bench.score({"divergence": 3}, teacher=tmp_path / "none", split="validation")
    assert metrics["divergence.reason"] == "divergence has no split validation, only test"


@pytest.mark.parametrize("keep", [0, 7, 200, -1])
def test_a_damaged_file_is_named(teacher, tmp_path, keep):
    (tmp_path / "t").write_bytes(teacher.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"t is damaged .*run `dvc repro record_reference`"):
        TASKS["divergence"].problems(Where(teacher=tmp_path / "t"))


def test_kl_is_nothing_of_itself_and_infinite_where_nothing_was_left():
    table = np.random.default_rng(0).normal(0, 5, (4, 9))
    assert divergence.kl(table, table + 3) == pytest.approx(0, abs=1e-12)  # logits have no zero
    without = table.copy()
    without[0, 3] = -np.inf
    assert math.isinf(divergence.kl(table, without))
    assert 0 < divergence.kl(without, table) < np.inf
    assert math.isnan(divergence.kl(np.full((1, 2), np.nan), np.zeros((1, 2))))


def test_a_kl_that_is_no_number_is_not_run():
    row = {"family": "f", "kl_nats": None, "tokens": 3, "same_top": 1, "reason": ""}
    with pytest.raises(methods.NothingMeasuredError, match="1 of 1 answers have no finite kl_nats"):
        divergence.measures([row])
