"""A sound training passes every look; each planted fault fails its own, with what to do."""

import shutil
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import torch
from potstill import files
from potstill.distill.recipe import Recipe
from potstill.distill.start import Start
from potstill.doctor import rows, steps
from potstill.doctor.look import _patient, look
from potstill.loading import load
from potstill.logits.store import LogitStore
from potstill.logits.topk import TopK
from potstill.models import checkpoint
from potstill.models.chat import ChatTokenizer
from potstill.students import depth
from potstill.tokens import packing, table

from stages import cache_logits
from tests.stages.conftest import tokens_of
from tests.stages.test_distill import SETTINGS

LOOKS = ["ids", "mask", "end", "signal", "shift", "divergence", "kept mass", "teacher", "gradient",
         "rate", "prediction"]  # fmt: skip


@pytest.fixture
def teacher(tiny_llama, tokens, tmp_path):
    """A teacher that was trained on the rows, so that it is better than the start."""
    folder = shutil.copytree(tiny_llama, tmp_path / "teacher")
    model = load.trainable(folder, torch.device("cpu"))
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    stored = table.Table(tokens / "train.arrow")
    line = packing.pack([stored.example(n, 509) for n in range(len(stored))])
    for _ in range(25):
        depth.answer_nll(model, line).div(len(line.answers_N)).backward()
        optimiser.step()
        optimiser.zero_grad()
    checkpoint.write(
        folder, dict(model.named_parameters()), checkpoint.read_config(folder), beside=tiny_llama
    )
    return folder


def cache(teacher, tokens, out, **changes):
    settings = {
        "teacher": "t", "codec": "topk", "k": 200, "min_kept_mass_mean": 0.0, "allow_seen": False,
        "max_rows": 12, "batch_rows": 4, "threads": 2, "seed": 0,
    }  # fmt: skip
    (out.parent / f"scratch-{out.name}").mkdir()
    cache_logits.main(
        cache_logits.Params(**(settings | changes)), teacher=teacher, rows=tokens / "train.arrow",
        out=out, scratch=out.parent / f"scratch-{out.name}",
    )  # fmt: skip
    return out


@pytest.fixture
def signal(teacher, tokens, tmp_path):
    return cache(teacher, tokens, tmp_path / "signal")


def recipe_of(**changes):
    return Recipe(**(SETTINGS | {"temperature": 1.0, "learning_rate": 1e-3} | changes))


def patient_of(start, tokens, folder, where=None, **changes):
    folder = folder / "patient"
    folder.mkdir()
    return _patient("kd", recipe_of(**changes), start, tokens, where or tokens, folder)


def found(start, tokens, where, folder, **changes):
    recipe = recipe_of(**changes)
    scratch = folder / "doctor"
    scratch.mkdir(exist_ok=True)
    return {
        one.name: one
        for one in look("kd", recipe, start=start, tokens=tokens, signal=where, scratch=scratch)
    }


def test_a_sound_training_passes_and_its_numbers_are_told(tiny_llama, tokens, signal, tmp_path):
    told = found(tiny_llama, tokens, signal, tmp_path)
    assert list(told) == LOOKS
    assert {one.verdict for one in told.values()} == {"pass"}, told
    numbers = told["prediction"].numbers
    assert numbers["seconds"] == pytest.approx(
        sum(numbers[name] for name in ("steps_s", "looks_s", "saves_s", "loading_s"))
    )
    assert 0 < told["gradient"].numbers["share"] < 1


def test_labels_alone_are_asked_nothing_of_a_teacher(tiny_llama, tokens, tmp_path):
    told = found(tiny_llama, tokens, tokens, tmp_path, signal="tokens", alpha=1.0)
    of_teacher = ("signal", "shift", "divergence", "kept mass", "teacher", "gradient")
    assert told["signal"].verdict == "not-run"
    assert list(told) == [name for name in LOOKS if name not in of_teacher[1:]]
    assert {one.verdict for name, one in told.items() if name != "signal"} == {"pass"}


def assert_only(told, name, says):
    """One look fails, with what to do; return all that do."""
    failed = [one.name for one in told.values() if one.verdict == "fail"]
    assert name in failed, told
    assert says in told[name].words, told[name]
    return failed


def rewritten(tokens, folder, change):
    """Copy a folder of tables with the columns of train.arrow changed, its header kept."""
    out = shutil.copytree(tokens, folder / "changed")
    reader = pa.ipc.open_file(str(tokens / "train.arrow"))
    batch = reader.get_batch(0)
    columns = {name: batch.column(name) for name in batch.schema.names}
    columns |= change(columns)
    made = pa.RecordBatch.from_arrays(list(columns.values()), schema=reader.schema)
    path = str(out / "train.arrow")
    with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, reader.schema) as writer:
        writer.write_batch(made)
    return out


def lists(column, values):
    offsets = pa.array(np.asarray(column.offsets), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(values), type=column.type)


def test_ids_that_are_not_their_texts_are_seen(tiny_llama, tokens, tmp_path):
    def change(columns):
        values = np.asarray(columns["ids"].values).copy()
        values[3] = (values[3] + 1) % 500
        return {"ids": lists(columns["ids"], values)}

    other = rewritten(tokens, tmp_path, change)
    told = found(tiny_llama, other, other, tmp_path, signal="tokens", alpha=1.0)
    assert assert_only(told, "ids", "run `dvc repro tokenise`") == ["ids"]


def test_a_span_that_begins_too_early_is_seen(tiny_llama, tokens, tmp_path):
    def change(columns):
        starts = np.asarray(columns["starts"].values) - 3
        return {"starts": lists(columns["starts"], starts)}

    other = rewritten(tokens, tmp_path, change)
    told = found(tiny_llama, other, other, tmp_path, signal="tokens", alpha=1.0)
    assert assert_only(told, "mask", "a span begins or ends elsewhere") == ["ids", "mask"]


def test_an_end_that_is_never_trained_is_seen(tiny_llama, tokens, tmp_path):
    def change(columns):
        return {"ends": lists(columns["ends"], np.asarray(columns["ends"].values) - 2)}

    other = rewritten(tokens, tmp_path, change)
    told = found(tiny_llama, other, other, tmp_path, signal="tokens", alpha=1.0)
    assert "end" in assert_only(told, "end", "else the student never stops")


def test_a_signal_that_lacks_rows_is_seen(tiny_llama, teacher, tokens, tmp_path):
    short = cache(teacher, tokens, tmp_path / "short", max_rows=2)
    told = found(tiny_llama, tokens, short, tmp_path)
    assert assert_only(told, "signal", "cache_logits.max_rows") == ["signal"]
    assert "shift" not in told


def test_a_signal_of_another_tokenizer_is_seen(tiny_llama, tiny_qwen2, signal, dataset, tmp_path):
    tokens = tokens_of(dataset, tiny_qwen2, tmp_path / "others")
    told = found(tiny_qwen2, tokens, signal, tmp_path)
    assert assert_only(told, "signal", "tokenizer") == ["signal"]


def test_a_signal_of_other_places_is_seen(tiny_llama, tokens, signal, tmp_path, monkeypatch):
    get = LogitStore.signal_of

    def moved(self, rows):
        top = get(self, rows)
        return TopK(*(getattr(top, n).roll(1, 0) for n in TopK.__dataclass_fields__))

    monkeypatch.setattr(LogitStore, "signal_of", moved)
    told = found(tiny_llama, tokens, signal, tmp_path)
    assert "shift" in assert_only(told, "shift", "--force cache_logits")


@pytest.mark.parametrize("louder", [1.5, -1.5])
def test_what_is_no_distribution_is_seen(louder, tiny_llama, tokens, signal, tmp_path, monkeypatch):
    get = LogitStore.signal_of

    def changed(self, rows):
        top = get(self, rows)
        return TopK(top.ids_NK, top.log_probs_NK + louder, top.log_tail_N + louder)

    monkeypatch.setattr(LogitStore, "signal_of", changed)
    told = found(tiny_llama, tokens, signal, tmp_path)
    assert "divergence" in assert_only(told, "divergence", "what is stored is no distribution")


def test_a_signal_that_keeps_little_is_seen(tiny_llama, tokens, tmp_path):
    flat = cache(tiny_llama, tokens, tmp_path / "flat", k=8)  # of a random teacher
    told = found(tiny_llama, tokens, flat, tmp_path)
    assert "kept mass" in assert_only(told, "kept mass", "raise cache_logits.k")


def test_a_teacher_that_knows_no_more_than_the_start_is_seen(tiny_llama, tokens, tmp_path):
    same = cache(tiny_llama, tokens, tmp_path / "same", k=509)
    told = found(tiny_llama, tokens, same, tmp_path)
    assert "teacher" in assert_only(told, "teacher", "take a better teacher")


def test_a_part_of_the_loss_that_does_nothing_is_seen(tiny_llama, tokens, signal, tmp_path):
    told = found(tiny_llama, tokens, signal, tmp_path, alpha=0.9999)
    assert assert_only(told, "gradient", "change alpha or temperature") == ["gradient"]


def test_a_rate_that_does_harm_is_seen_and_a_lower_one_named(tiny_llama, tokens, signal, tmp_path):
    told = found(tiny_llama, tokens, signal, tmp_path, learning_rate=0.5)
    assert assert_only(told, "rate", "set learning_rate to") == ["rate"]
    good = float(told["rate"].words.rpartition(" ")[2])
    again = found(tiny_llama, tokens, signal, tmp_path, learning_rate=good)
    assert again["rate"].verdict == "pass"


def test_nothing_is_changed(tiny_llama, tokens, signal, tmp_path):
    before = {path: files.sha256_tree(path) for path in (tiny_llama, tokens, signal)}
    found(tiny_llama, tokens, signal, tmp_path)
    assert before == {path: files.sha256_tree(path) for path in before}


def test_a_file_that_changed_after_it_was_written_is_seen(tiny_llama, tokens, signal, tmp_path):
    path = next(signal.glob("data-*"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    told = found(tiny_llama, tokens, signal, tmp_path)
    assert assert_only(told, "signal", "is not what was written") == ["signal"]


def test_an_id_that_no_embedding_has_is_a_finding(tiny_llama, tokens, tmp_path):
    def change(columns):
        values = np.asarray(columns["ids"].values).copy()
        values[0] = 40_000
        return {"ids": lists(columns["ids"], values)}

    other = rewritten(tokens, tmp_path, change)
    begin = Start.of(tiny_llama, recipe_of(signal="tokens", alpha=1.0))
    patient = SimpleNamespace(begin=begin, model=begin.model())
    stored = table.Table(other / "train.arrow")
    assert rows.ids(patient, stored).verdict == rows.mask(patient, stored).verdict == "fail"
    assert rows.ids(patient, stored).numbers["wrong"] == 1


def test_a_template_that_writes_more_and_accents_that_are_composed_pass(
    tiny_qwen2, dataset, tmp_path
):
    """Qwen3 opens an answer with an empty thought; Qwen2's tokenizer composes what is written."""
    start = shutil.copytree(tiny_qwen2, tmp_path / "start")
    template = ChatTokenizer(start).template.replace(
        "message['content']",
        "(('<think>\n\n</think>\n\n' if message['role'] == 'assistant' and loop.last else '')"
        " + message['content'])",
    )
    (start / "chat_template.jinja").write_text(template)
    lines = list(files.read_jsonl(dataset / "train.jsonl"))
    for line in lines:
        line["messages"][-1]["content"] += "\n# cafe\u0301"
    files.write_jsonl(dataset / "train.jsonl", lines)
    tokens = tokens_of(dataset, start, tmp_path / "thoughtful")
    told = found(start, tokens, tokens, tmp_path, signal="tokens", alpha=1.0)
    assert (told["ids"].verdict, told["mask"].verdict) == ("pass", "pass"), told
    assert told["mask"].numbers["rows"] > 0


def test_top_tokens_do_not_speak_against_a_teacher(tiny_llama, tokens, tmp_path):
    """The start as its own teacher by 8 of 509 ids: no better, and no worse either."""
    same = cache(tiny_llama, tokens, tmp_path / "same", k=8)
    told = found(tiny_llama, tokens, same, tmp_path)
    assert abs(told["teacher"].numbers["nats"]) < 0.01
    drawn = cache(tiny_llama, tokens, tmp_path / "drawn", codec="sampled", k=8)
    told = found(tiny_llama, tokens, drawn, tmp_path)
    assert told["teacher"].verdict == "not-run"


@pytest.mark.parametrize(
    "changes",
    [
        {"adapter": {"kind": "lora", "r": 4, "alpha": 8}},
        {"adapter": {"kind": "vectors"}},
        {"gradient_checkpointing": True},
        {"alpha": 0.0},
        {"margin": 0.1},
        {"checkpoint_every": 0},
    ],
)
def test_sound_trainings_of_other_kinds_pass(changes, tiny_llama, tokens, signal, tmp_path):
    told = found(tiny_llama, tokens, signal, tmp_path, **changes)
    assert list(told) == LOOKS
    assert {one.verdict for one in told.values()} == {"pass"}, told
    saves = told["prediction"].numbers["saves_s"]
    assert (saves > 0) == (changes.get("checkpoint_every") != 0)


def test_the_rows_are_those_that_the_phases_read(tiny_llama, tokens, tmp_path):
    def of(phase):
        return {"signal": "tokens", "alpha": 1.0, "phases": [{"steps": 4, "rows": phase}]}

    language = {"format": ["code"]}
    patient = patient_of(tiny_llama, tokens, tmp_path, **of(language))
    assert {row.format for row in patient.rows} == {"code"}
    told = found(tiny_llama, tokens, tokens, tmp_path, **of({"format": ["plan"]}))
    assert list(told) == ["rows"]
    assert assert_only(told, "rows", "rows has {'format'") == ["rows"]


def test_what_is_not_trained_is_not_tried(tiny_llama, tokens, tmp_path):
    told = found(tiny_llama, tokens, tokens, tmp_path, signal="tokens", alpha=1.0, steps=0)
    assert told["rate"].verdict == told["prediction"].verdict == "not-run"
    assert not [one for one in told.values() if one.verdict == "fail"]


@pytest.mark.parametrize("adapter", [None, {"kind": "vectors"}])
def test_the_weights_are_put_back(adapter, tiny_llama, tokens, signal, tmp_path):
    patient = patient_of(tiny_llama, tokens, tmp_path, where=signal, adapter=adapter)
    before = {name: tensor.clone() for name, tensor in patient.model.state_dict().items()}
    assert steps.rate(patient, steps.Costs([], [])).verdict == "pass"
    after = patient.model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
