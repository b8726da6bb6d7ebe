"""What is asked in a round, and what becomes of the answers."""

from collections import Counter

import pytest
from potstill import files
from potstill.models.chat import ChatTokenizer
from potstill.rollouts import tasks
from potstill.rollouts.rounds import Rounds
from potstill.rollouts.student import end_id
from potstill.rollouts.verdicts import Judge
from potstill.runtime import Answer
from potstill.tokens import examples

from tests.rollouts.runs import curated, recipe

JUDGE = Judge("edgecoder", 4.0, "minimum", 2)
END = 77
RIGHT = "```python\ndef f0(a):\n    return a\n```"
OUTSIDE = "```python\nimport socket\ndef f0(a):\n    return a\n```"
WRONG = "```python\ndef f0(a):\n    return a - 1\n```"


class Scripted:
    """A policy that says the same four things in turns, and notes what it was asked."""

    def __init__(self, finish="stop_id"):
        self.asked, self.taken, self.finish = [], [], finish

    def take(self, weights):
        self.taken.append(weights)

    def answer(self, requests):
        self.asked.append(requests)
        texts = (RIGHT, OUTSIDE, WRONG, "no code")
        return [
            Answer([7, 8, 9], texts[n % 4], self.finish, [-0.5, -1.0, -0.25])
            for n in range(len(requests))
        ]


@pytest.fixture
def rounds(tiny_llama, tmp_path):
    def make(policy, knows_end=False, **changes):
        how = recipe(**{"samples": 4, "batch_rows": 8, "formats": ["code"], **changes})
        chat = ChatTokenizer(tiny_llama)
        found = tasks.read(
            curated(tmp_path / "c") / "accepted.jsonl", how.formats, how.folds, 9, chat
        )
        return Rounds(
            found, how, policy, lambda model: model, JUDGE, END, knows_end, tmp_path / "rounds"
        )

    return make


def test_an_answer_is_worth_what_it_is_better_than_the_others_to_its_prompt(rounds):
    made = rounds(Scripted())
    made.tasks = [task for task in made.tasks if task.row["entry_point"] == "f0"]
    rows = made.rows(0, "weights")
    assert [row.advantage for row in rows] == [0.75, -0.25, -0.25, -0.25]
    told = {"answer_length": 3.0, "cut_share": 0.0, "passed_share": 0.5, "accepted_share": 0.5}
    assert made.columns(0) == told
    assert made.policy.taken == ["weights"]


def test_only_an_answer_that_came_to_its_end_is_taught_to_end(rounds):
    for finish, tail in (("stop_id", (7, 8, 9, END)), ("length", (7, 8, 9))):
        made = rounds(Scripted(finish), refresh_every=2 if tail[-1] == END else 1)
        for row in made.rows(0, None):
            (span,) = row.spans
            assert row.ids[span[0] :] == tail
            assert span[1] == len(row.ids)
            assert row.log_probs == (-0.5, -1.0, -0.25)
        for path in made.folder.iterdir():
            path.unlink()


@pytest.mark.parametrize("knows_end", [True, False])
def test_an_end_that_may_not_be_what_was_sampled_is_not_rewarded(knows_end, rounds):
    made = rounds(Scripted(), knows_end=knows_end)
    made.tasks = [task for task in made.tasks if task.row["entry_point"] == "f0"]
    known, advantages = examples.spoken(made.rows(0, None))
    assert advantages[:4].tolist() == [0.75, 0.75, 0.75, 0.75 if knows_end else 0.0]
    assert known[:4].isnan().tolist() == [False, False, False, True]


def test_tasks_whose_prompts_are_equal_are_one(tiny_llama, tmp_path):
    path = curated(tmp_path / "c") / "accepted.jsonl"
    rows = list(files.read_jsonl(path))
    files.write_jsonl(path, [*rows, rows[0] | {"id": "task-9", "task": rows[0]["task"] + " "}])
    chat = ChatTokenizer(tiny_llama)
    found = tasks.read(path, ["code", "complete"], [0, 1], 9, chat)
    assert len({task.ids for task in found}) == len(found)


def test_a_round_asks_for_all_its_steps_at_once_and_each_step_draws_anew(rounds):
    policy = Scripted()
    made = rounds(policy, refresh_every=3, steps=5, formats=["code", "complete"])
    for step in range(5):
        made.rows(step, step)
    assert policy.taken == [0, 3]
    assert [len(asked) for asked in policy.asked] == [24, 16]
    seeds = Counter(request.sampling.seed for asked in policy.asked for request in asked)
    assert sorted(seeds.values()) == [8] * 5
    assert {request.sample for asked in policy.asked for request in asked} == {0, 1, 2, 3}


def test_answers_that_are_there_are_not_asked_for_again(rounds):
    rounds(Scripted()).rows(0, None)
    again = rounds(Scripted())
    assert len(again.rows(0, None)) == 8
    assert again.policy.asked == []


def test_the_end_is_the_templates_own(tiny_checkpoint):
    for family in ("llama", "llama3", "mistral"):
        chat = ChatTokenizer(tiny_checkpoint(family))
        found = end_id(chat)
        assert found in chat.stop_ids
        text = chat.tokenizer.id_to_token(found)
        asked = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
        assert text in chat.render(asked, add_generation_prompt=False)
