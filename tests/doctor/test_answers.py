"""A training on the student's own answers is looked at by asking it: each planted fault is told."""

import shutil

import pytest
from potstill import splits
from potstill.doctor import answers
from potstill.rollouts import policy, student
from potstill.rollouts.verdicts import Judge, Verdict
from potstill.runtime import Answer

from stages import distill_on_policy
from tests.distill.runs import live_signal
from tests.rollouts.runs import curated, recipe, vocabulary_of

LOOKS = ["signal", "prompts", "length", "verdicts", "staleness", "divergence", "rate",
         "prediction"]  # fmt: skip
OTHER = next(name for name in map(str, range(99)) if splits.split(name) != "train")


def found(start, tokens, folder, families=None, **changes):
    if not (folder / "live").exists():
        live_signal(start, folder)
    scratch = folder / "doctor"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    looks = answers.look(
        "own",
        recipe(**({"max_tokens": 24} | changes)),
        start=start,
        signal=folder / "live",
        curated=curated(folder / "curated", *([families] if families else [])),
        tokens=tokens,
        vocabulary=vocabulary_of(start, folder / "vocabulary"),
        scratch=scratch,
    )
    return {one.name: one for one in looks}


def failed(told):
    return [name for name, one in told.items() if one.verdict == "fail"]


@pytest.fixture
def short(monkeypatch):
    """Answers come to their end: a random model's seldom do."""
    monkeypatch.setattr(answers, "MOST_CUT", 1.0)


@pytest.mark.parametrize("adapter", [None, {"kind": "vectors"}])
def test_a_sound_training_passes_and_is_foreseen(adapter, short, tiny_llama, tokens, tmp_path):
    told = found(tiny_llama, tokens, tmp_path, adapter=adapter)
    assert list(told) == LOOKS
    assert failed(told) == [], told
    numbers = told["prediction"].numbers
    parts = ("steps_s", "looks_s", "saves_s", "loading_s", "answers_s")
    assert numbers["seconds"] == pytest.approx(sum(numbers[name] for name in parts))
    assert numbers["answers_s"] > 0
    assert told["prompts"].numbers == {"prompts": 6, "asked": 16}


def test_answers_that_do_not_end_are_told(tiny_llama, tokens, tmp_path):
    told = found(tiny_llama, tokens, tmp_path, max_tokens=6)
    assert failed(told) == ["length"]
    assert "raise rollouts.max_tokens" in told["length"].words


@pytest.mark.parametrize("solved", [False, True])
def test_a_reward_that_tells_no_answer_from_another_is_told(
    solved, short, tiny_llama, tokens, tmp_path, monkeypatch
):
    def verdicts(self, tasks, texts):
        return [Verdict(solved and not number % 2, True) for number in range(len(texts))]

    monkeypatch.setattr(Judge, "verdicts", verdicts)
    told = found(tiny_llama, tokens, tmp_path, reward=1.0, samples=2)
    assert failed(told) == ([] if solved else ["verdicts"])
    assert told["verdicts"].numbers["differing"] == (8 if solved else 0)
    assert ("raise samples" in told["verdicts"].words) != solved


def test_another_model_that_answers_is_told(short, tiny_llama, tokens, tmp_path, monkeypatch):
    write = policy.LlamaPolicy.take

    def take(self, weights):
        write(self, ((name, weight * 1.5) for name, weight in weights))

    monkeypatch.setattr(policy.LlamaPolicy, "take", take)
    told = found(tiny_llama, tokens, tmp_path)
    assert failed(told) == ["staleness"]
    assert "another model answers" in told["staleness"].words
    warm = found(tiny_llama, tokens, tmp_path, sampling_temperature=0.7)
    assert warm["staleness"].verdict == "not-run"


def test_a_signal_that_is_stored_and_tasks_of_no_fold_end_it(tiny_llama, tokens, tmp_path):
    told = found(tiny_llama, tokens, tmp_path, families=(OTHER,))
    assert list(told) == ["signal", "prompts"]
    assert "no task with tests" in told["prompts"].words
    shutil.rmtree(tmp_path / "live")
    (tmp_path / "live").mkdir()
    told = found(tiny_llama, tokens, tmp_path)
    assert list(told) == failed(told) == ["signal"]


def test_answers_of_an_end_alone_are_looked_at(short, tiny_llama, tokens, tmp_path, monkeypatch):
    """As of a model with several end tokens, where nobody knows which one was drawn."""
    empty = Answer(ids=[], text="", finish="stop_id", logprobs=[])
    monkeypatch.setattr(policy.LlamaPolicy, "answer", lambda _, asked: [empty] * len(asked))
    make = student.rounds_of

    def several_ends(*args):
        rounds = make(*args)
        rounds.knows_end = False
        return rounds

    monkeypatch.setattr(student, "rounds_of", several_ends)
    told = found(tiny_llama, tokens, tmp_path)
    assert list(told) == LOOKS
    assert told["staleness"].numbers["nats"] == 0


def test_a_student_that_is_not_trained_is_not_asked(tiny_llama, tokens, tmp_path):
    told = found(tiny_llama, tokens, tmp_path, steps=0)
    assert list(told) == ["prompts"]
    assert told["prompts"].verdict == "not-run"


def test_a_rate_that_does_harm_is_told(short, tiny_llama, tokens, tmp_path):
    told = found(tiny_llama, tokens, tmp_path, learning_rate=2.0)
    assert failed(told) == ["rate"], told["rate"]


def test_what_is_foreseen_is_of_the_rounds_that_the_training_makes(
    short, tiny_llama, tokens, tmp_path, monkeypatch
):
    asked = []
    answer = policy.LlamaPolicy.answer

    def counted(self, requests):
        asked.append(len(requests))
        return answer(self, requests)

    monkeypatch.setattr(policy.LlamaPolicy, "answer", counted)
    found(tiny_llama, tokens, tmp_path, steps=6, refresh_every=2)
    looked, asked[:] = list(asked), []
    distill_on_policy.main(
        recipe(max_tokens=24, steps=6, refresh_every=2),
        model=tiny_llama,
        signal=tmp_path / "live",
        curated=tmp_path / "curated",
        tokens=tokens,
        vocabulary=tmp_path / "vocabulary",
        out=tmp_path / "student",
        measures_out=tmp_path / "measures",
        scratch=tmp_path / "scratch",
    )
    assert looked == asked == [6, 6, 6]  # the last batch of an epoch has two prompts
