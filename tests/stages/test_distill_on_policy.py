"""A student on its own answers: they are of its weights, and a kill changes nothing."""

import csv
import json
import shutil

import pytest
from potstill import files
from potstill.errors import InputError
from potstill.logits import caching, live
from potstill.rollouts import endpoint, policy, rounds
from potstill.rollouts.verdicts import Judge, Verdict
from potstill.tokens import folds

from stages import cache_logits
from tests.model_server import serve
from tests.rollouts.runs import FAMILIES, curated, recipe, train

SERVED, PYTHON = {"url": "u", "kind": "vllm", "model": "m"}, {"languages": ["python"]}
LORA = {"kind": "lora", "r": 4, "alpha": 8.0}


def history(folder, name="a"):
    with (folder / f"measures-{name}/history.csv").open() as file:
        return list(csv.DictReader(file))


def column(folder, column, name="a"):
    return [float(row[column]) for row in history(folder, name)]


def answers(folder, name="a"):
    return list(files.read_jsonl(folder / f"measures-{name}/rollouts.jsonl"))


def test_the_divergence_from_the_teacher_falls_and_the_answers_are_told(
    tiny_llama, tokens, tmp_path
):
    metrics = train(tiny_llama, tokens, tmp_path, "a", steps=9, learning_rate=4e-3)
    told = column(tmp_path, "divergence")
    assert sum(told[-3:]) < 0.6 * sum(told[:3])
    assert metrics["signals"] == "live"
    assert metrics["start"] == "students/kd"
    rows = answers(tmp_path)
    assert sorted({row["step"] for row in rows}) == list(range(1, 10))
    assert {row["format"] for row in rows} == {"code", "complete"}
    assert rows[0].keys() == {"step", "sample", "group", "language", "format", "prompt", "text",
                              "finish", "passed", "inside"}  # fmt: skip
    assert float(history(tmp_path)[0]["passed_share"]) == 0
    assert folds.trained_on(tmp_path / "a") == sorted({folds.fold_of(name) for name in FAMILIES})


@pytest.mark.parametrize("adapter", [None, LORA, {"kind": "vectors"}], ids=str)
def test_what_answers_is_the_student_as_it_is_by_then(adapter, tiny_llama, tokens, tmp_path):
    how = {"adapter": adapter, "learning_rate": 3e-2, "steps": 6, "max_tokens": 24, "samples": 2}
    train(tiny_llama, tokens, tmp_path, "fresh", **how)
    train(tiny_llama, tokens, tmp_path, "stale", **how, refresh_every=6)
    fresh, stale = (column(tmp_path, "staleness", name) for name in ("fresh", "stale"))
    assert max(map(abs, fresh)) < 0.02  # what float16 makes of float32
    assert abs(stale[0]) < 0.02
    assert max(stale[2:]) > 3 * max(map(abs, fresh))
    assert len({row["step"] for row in answers(tmp_path, "stale")}) == 6


def test_weights_that_do_not_reach_the_answering_side_show_as_staleness(
    tiny_llama, tokens, tmp_path, monkeypatch
):
    monkeypatch.setattr(policy.LlamaPolicy, "take", lambda *_: None)
    train(tiny_llama, tokens, tmp_path, "a", steps=6, learning_rate=3e-2, max_tokens=24)
    assert max(column(tmp_path, "staleness")[2:]) > 0.05


class KilledError(Exception):
    """Raised where a run is stopped."""


@pytest.mark.parametrize("asked", [3, 5])  # at a round's first step, and between its steps
def test_a_killed_training_goes_on_to_the_same_bytes(
    asked, tiny_llama, tokens, tmp_path, monkeypatch
):
    how = {"steps": 7, "refresh_every": 3, "checkpoint_every": 2, "batch_rows": 2, "samples": 2}
    train(tiny_llama, tokens, tmp_path, "whole", **how)
    rows = rounds.Rounds.rows

    def dies(self, step, model):
        if step == asked:
            raise KilledError
        return rows(self, step, model)

    monkeypatch.setattr(rounds.Rounds, "rows", dies)
    with pytest.raises(KilledError):
        train(tiny_llama, tokens, tmp_path, "killed", **how)
    monkeypatch.setattr(rounds.Rounds, "rows", rows)
    shutil.rmtree(tmp_path / "measures-killed", ignore_errors=True)
    train(tiny_llama, tokens, tmp_path, "killed", **how)
    for file in ("model.safetensors", "lineage.json"):
        pair = [(tmp_path / name / file).read_bytes() for name in ("whole", "killed")]
        assert pair[0] == pair[1]
    assert answers(tmp_path, "whole") == answers(tmp_path, "killed")


@pytest.mark.parametrize("kind", ["vllm", "sglang"])
def test_a_served_teacher_of_all_ids_teaches_as_the_loaded_one(kind, tiny_llama, tokens, tmp_path):
    train(tiny_llama, tokens, tmp_path, "live", steps=3)
    with serve(tmp_path / "teacher", max_logprobs=600) as (url, _):
        served = [{"url": url, "kind": kind, "model": "m", "top": 509}]
        train(tiny_llama, tokens, tmp_path, kind, steps=3, signal="tokens", served=served)
    assert column(tmp_path, "divergence", kind) == pytest.approx(
        column(tmp_path, "divergence", "live"), rel=1e-3
    )


def test_a_teacher_that_dies_in_a_round_leaves_what_was_finished(
    tiny_llama, tokens, tmp_path, monkeypatch
):
    monkeypatch.setattr(endpoint, "RETRIES", 0)
    train(tiny_llama, tokens, tmp_path, "live", steps=1)  # for the teacher's folder
    how = {"steps": 4, "signal": "tokens", "checkpoint_every": 1}
    with serve(tmp_path / "teacher", max_logprobs=600) as (url, model):
        how["served"] = [{"url": url, "kind": "vllm", "model": "m", "top": 509}]
        train(tiny_llama, tokens, tmp_path, "whole", **how)
        asked = len(model.calls)
        model.spoil = lambda _, reply: reply if len(model.calls) < 1.6 * asked else None
        with pytest.raises(InputError, match="does not answer as a vllm server"):
            train(tiny_llama, tokens, tmp_path, "dead", **how)
        first = [path.read_text() for path in (tmp_path / "scratch-dead/rounds").iterdir()]
        assert first
        model.spoil = lambda _, reply: reply
        shutil.rmtree(tmp_path / "measures-dead", ignore_errors=True)
        before = len(model.calls)
        train(tiny_llama, tokens, tmp_path, "dead", **how)
        assert len(model.calls) - before < asked  # it went on
    pair = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "dead")]
    assert pair[0] == pair[1]


@pytest.mark.parametrize("kind", ["vllm", "sglang"])
def test_a_server_answers_with_the_weights_of_each_step(kind, tiny_llama, tokens, tmp_path):
    how = {"steps": 4, "learning_rate": 1e-2, "max_tokens": 16}
    with serve(tiny_llama) as (url, model):
        server = {"url": url, "kind": kind, "model": "m", "folder": str(tmp_path / "shared")}
        train(tiny_llama, tokens, tmp_path, kind, server=server, **how)
    reloads = [str(asked) for path, asked in model.calls if "rpc" in path or "update" in path]
    assert len(reloads) == 4
    assert all(str(tmp_path / "shared/student") in asked for asked in reloads)
    drawn = [asked for path, asked in model.calls if path in ("/generate", "/v1/completions")]
    seeds = [asked.get("seed") or asked["sampling_params"]["sampling_seed"] for asked in drawn]
    assert len(set(seeds)) == len(seeds), "two answers are drawn with the same numbers"
    # bfloat16 weights answer: more than float16's, and nothing of what stale weights show
    assert max(map(abs, column(tmp_path, "staleness", kind))) < 0.05
    assert {row["finish"] for row in answers(tmp_path, kind)} <= {"length", "stop_id"}


def test_a_server_that_gives_up_an_answer_is_named(tiny_llama, tokens, tmp_path):
    def aborts(_, reply):
        for choice in reply.get("choices", ()):
            choice["finish_reason"] = "abort"
        return reply

    with serve(tiny_llama) as (url, model):
        model.spoil = aborts
        server = {"url": url, "kind": "vllm", "model": "m", "folder": str(tmp_path / "shared")}
        with pytest.raises(InputError, match="ended an answer by 'abort'"):
            train(tiny_llama, tokens, tmp_path, "a", steps=1, server=server)


def test_a_folder_that_is_shared_keeps_what_else_is_in_it(tiny_llama, tokens, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "others.txt").write_text("precious")
    start = shutil.copytree(tiny_llama, shared / "student")
    before = files.sha256_tree(shared)
    with serve(tiny_llama) as (url, _):
        server = {"url": url, "kind": "vllm", "model": "m", "folder": str(shared)}
        with pytest.raises(InputError, match="is what the student goes on from"):
            train(start, tokens, tmp_path, "a", steps=1, server=server)
        assert files.sha256_tree(shared) == before
        train(tiny_llama, tokens, tmp_path, "b", steps=1, server=server)
    assert (shared / "others.txt").read_text() == "precious"


def test_verdicts_count_where_they_differ_and_by_the_rewards_weight(
    tiny_llama, tokens, tmp_path, monkeypatch
):
    """One step: answers that are all as good as another change nothing, whatever the weight."""

    def weights(name, good, reward):
        monkeypatch.setattr(
            Judge,
            "verdicts",
            lambda _, asked, said: [Verdict(good(n), True) for n in range(len(said))],
        )
        train(tiny_llama, tokens, tmp_path, name, steps=1, samples=4, reward=reward)
        return (tmp_path / name / "model.safetensors").read_bytes()

    plain = weights("plain", lambda n: n % 2 == 0, 0.0)
    assert weights("equal", lambda _: True, 9.0) == plain
    mixed = [weights(f"mixed{w}", lambda n: n % 2 == 0, w) for w in (1.0, 9.0)]
    assert len({plain, *mixed}) == 3


def test_a_student_whose_ids_mean_other_tokens_is_refused(tiny_llama, tiny_qwen2, tokens, tmp_path):
    train(tiny_llama, tokens, tmp_path, "a", steps=1)  # for the vocabulary's folder
    served = [{"url": "http://localhost:9", "kind": "vllm", "model": "m"}]
    with pytest.raises(InputError, match="its ids mean other tokens"):
        train(tiny_qwen2, tokens, tmp_path, "b", steps=1, signal="tokens", served=served)


def test_what_cannot_teach_a_students_own_text_is_refused(tiny_llama, tokens, tmp_path):
    train(tiny_llama, tokens, tmp_path, "a", steps=1)
    stored = cache_logits.Params(
        teacher="t", codec="topk", k=8, min_kept_mass_mean=0.0, allow_seen=False, max_rows=12,
        batch_rows=4, threads=2, seed=0,
    )  # fmt: skip
    (tmp_path / "s").mkdir()
    shutil.rmtree(tmp_path / "live")
    cache_logits.main(
        stored, teacher=tmp_path / "teacher", rows=tokens / "train.arrow",
        out=tmp_path / "live", scratch=tmp_path / "s",
    )  # fmt: skip
    with pytest.raises(InputError, match="says nothing of a text that a student has yet to write"):
        train(tiny_llama, tokens, tmp_path, "b", steps=1)
    shutil.rmtree(tmp_path / "live")
    folds.record(tmp_path / "teacher", [0, 1])
    live.write(tmp_path / "live", caching.describe(tmp_path / "teacher", codec="live", k=0, seed=0))
    with pytest.raises(InputError, match="was adapted on"):
        train(tiny_llama, tokens, tmp_path, "c", steps=1)


def test_tasks_without_tests_leave_nothing_to_ask(tiny_llama, tokens, tmp_path):
    train(tiny_llama, tokens, tmp_path, "a", steps=1)
    path = curated(tmp_path / "curated") / "accepted.jsonl"
    with pytest.raises(InputError, match="no task with tests of the folds"):
        train(tiny_llama, tokens, tmp_path, "b", steps=1, families=())
    assert json.loads(path.read_text() or "{}") == {}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"signal": "tokens"}, "one teacher is needed"),
        ({"served": [{"url": "u", "kind": "vllm", "model": "m"}]}, "one teacher is needed"),
        ({"reward": 0.5}, "raise samples"),
        ({"signal": "tokens", "served": [SERVED, SERVED]}, "two of served have no languages"),
        (
            {"signal": "tokens", "served": [SERVED | PYTHON, SERVED | PYTHON]},
            "two of served have languages: python",
        ),
        (
            {"server": SERVED | {"kind": "sglang", "folder": "f"}, "sampling_temperature": 0.7},
            "SGLang tells log-probabilities after the temperature",
        ),
        ({"samples": 3}, "no multiple of samples"),
        ({"objective": "cross_entropy"}, "need a teacher: "),
        ({"processes": 2}, "set processes to 1"),
        ({"patience": 2, "evaluate_every": 1}, "phases and patience"),
        ({"qat": {"quantisation": "int8_channel"}}, "leave qat out, and train another student"),
        ({"sampling_temperature": 0.0}, "greater than 0"),
        ({"refresh_every": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, says):
    with pytest.raises(ValueError, match=says):
        recipe(**changes)
