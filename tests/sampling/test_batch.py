"""The batch API, against a server that forwards to a real model; not tested: a provider's own.

Death of this process: test_kill.py.
"""

from pathlib import Path

import pytest
from potstill import files
from potstill.errors import InputError
from potstill.sampling import batch_api, endpoint, sampling
from potstill.sampling.batch import Batched
from potstill.sampling.endpoint import Endpoint, Remote
from potstill.sampling.kept import Kept

pytestmark = pytest.mark.slow
HOW = {"max_tokens": 6, "temperature": 0.0, "seed": 0}
PRICED = {"price_input": 0.0, "price_output": 1e6}  # an answer costs its tokens, 6 at most
SENT = Path(".potstill/answers/batches")


def prompts(count):
    return [
        sampling.Prompt(f"p{n}", [{"role": "user", "content": f"Do {n}."}]) for n in range(count)
    ]


def at(server, **changes):
    return Endpoint(**{"url": server.url, "model": "tiny", "batch": True, **changes})


def ask(server, count=5, **changes):
    backend = Batched(at(server, **changes), **HOW)
    return sampling.sample(prompts(count), backend, Kept(Path(".potstill/answers")))


def texts(rows):
    return {row["id"]: row["text"] for row in rows}


def test_a_batch_answers_as_one_request_at_a_time_does(server, capsys):
    rows = ask(server, price_input=1e6, price_output=1e6)
    assert [row["id"] for row in rows] == [f"p{n}" for n in range(5)]
    assert all(row["tokens"][0] > 3 and row["finish"] in ("stop", "length") for row in rows)
    assert server.count_of("POST", "files") == server.count_of("POST", "batches") == 1
    said = capsys.readouterr().out
    assert "5 are asked for: at most" in said
    assert "batch batch_2 of 5 requests: sent" in said
    assert "completed, 5 answered" in said
    assert not list(SENT.iterdir())
    # Nothing is asked twice, in whichever way.
    assert ask(server) == rows
    alone = Remote(at(server), **HOW)
    assert sampling.sample(prompts(5), alone, Kept(Path(".potstill/answers"))) == rows
    assert len(server.asked) == 5
    files.remove(Path(".potstill"))
    assert sampling.sample(prompts(5), alone, Kept(Path("other"))) == rows
    assert server.count_of("POST", "files") == 1


def test_limits_split_requests_into_batches(server, monkeypatch):
    monkeypatch.setattr(batch_api, "MAX_REQUESTS", 2)
    rows = ask(server)
    assert sorted(content.count(b"\n") for content in uploads(server)) == [1, 2, 2]
    files.remove(Path(".potstill"))
    server.files.clear()
    monkeypatch.setattr(batch_api, "MAX_BYTES", 700)
    monkeypatch.setattr(batch_api, "MAX_REQUESTS", 50)
    assert ask(server) == rows
    sizes = [len(content) for content in uploads(server)]
    assert len(sizes) > 1
    assert max(sizes) <= 700


def uploads(server):
    return [content for content in server.files.values() if b'"method"' in content]


def test_equal_requests_are_sent_once(server):
    same = [sampling.Prompt("a", [{"role": "user", "content": "Do."}]), *prompts(1)]
    same.append(sampling.Prompt("b", same[0].messages))
    rows = sampling.sample(same, Batched(at(server), **HOW), Kept(Path("kept")))
    assert rows[0]["text"] == rows[2]["text"]
    assert len(server.asked) == 2


def test_a_storm_loses_nothing_and_starts_one_batch(server):
    server.faults = {
        ("POST", "files"): [429, 503, "dead"],
        ("POST", "batches"): [429, "lost", 500],
        ("GET", "list"): [503],
        ("GET", "batch"): [500, "dead", 429],
        ("GET", "content"): [502, "dead"],
    }
    assert len(ask(server)) == 5
    assert not any(server.faults[key] for key in server.faults if key != ("POST", "batches"))
    assert len(server.batches) == 1
    assert len(server.asked) == 5


def test_a_lost_reply_without_a_list_starts_the_batch_again(server):
    server.has_list = False
    server.faults = {("POST", "batches"): ["dead"]}
    assert len(ask(server)) == 5


def test_an_outage_is_waited_for_and_a_dead_server_named(server, monkeypatch, capsys):
    monkeypatch.setattr(endpoint, "RETRIES", 0)
    server.faults = {("GET", "batch"): [503] * 4}
    assert len(ask(server)) == 5
    assert "no reply just now" in capsys.readouterr().out
    files.remove(Path(".potstill"))
    monkeypatch.setattr(batch_api, "_SILENCE_S", 0.2)
    server.faults = {("GET", "batch"): [503] * 1000}
    with pytest.raises(InputError, match="does not answer as an OpenAI-compatible server"):
        ask(server)
    server.faults = {}
    assert len(ask(server)) == 5
    assert len(server.batches) == 2


@pytest.mark.parametrize("ending", ["expired", "cancelled"])
def test_what_an_unfinished_batch_answered_is_kept_and_the_rest_asked_again(server, ending):
    server.ending, server.stop_after = ending, 3
    with pytest.raises(InputError) as told:
        ask(server)
    assert f"batch batch_2 {ending}, 2 of 5 unanswered (batch_{ending}: " in str(told.value)
    assert "\n" not in str(told.value)
    server.ending, server.stop_after = "completed", None
    assert len(ask(server)) == 5
    assert len(server.asked) == 5
    assert not list(SENT.iterdir())


def test_a_failed_batch_is_told_in_one_line(server):
    server.ending = "failed"
    with pytest.raises(InputError) as told:
        ask(server)
    assert "failed, 5 of 5 unanswered (token_limit_exceeded: Enqueued token limit" in str(
        told.value
    )
    assert "\n" not in str(told.value)
    server.ending = "completed"
    assert len(ask(server)) == 5


def test_all_batches_are_read_before_a_bad_one_is_told(server, monkeypatch):
    monkeypatch.setattr(batch_api, "MAX_REQUESTS", 2)
    server.inject = lambda fields: (500, {}) if "Do 0." in str(fields) else None
    with pytest.raises(InputError, match="batch_2 completed, 1 of 2 unanswered"):
        ask(server)
    server.inject = None
    assert len(ask(server)) == 5
    assert len(server.asked) == 6


def test_a_refused_request_is_counted_and_a_failed_one_asked_again(server):
    long = {"error": {"message": "too long", "code": "context_length_exceeded", "param": None}}
    busy = {"error": {"message": "busy", "code": "server_error"}}
    given = {"Do 1.": (400, long), "Do 3.": (500, busy)}
    server.inject = lambda fields: given.get(fields["messages"][-1]["content"])
    with pytest.raises(InputError, match=r"1 of 5 unanswered \(server_error: busy\)"):
        ask(server)
    del given["Do 3."]
    rows = ask(server)
    assert [row["finish"] == "refused" for row in rows] == [False, True, False, False, False]
    assert rows[1]["text"] == "too long"
    assert len(server.asked) == 6


def test_a_server_without_batches_is_told_what_to_set(server, llama_server):
    server.has_batches = False
    for url in (server.url, llama_server):
        with pytest.raises(
            InputError, match=r"no batch API \(POST /files: 404\): set batch: false"
        ):
            ask(server, url=url)
    server.has_batches = True
    server.faults = {("POST", "batches"): [404]}
    with pytest.raises(InputError, match=r"no batch API \(POST /batches: 404\)"):
        ask(server)
    server.faults = {("POST", "batches"): [400]}
    with pytest.raises(InputError, match="BadRequestError"):
        ask(server)
    assert not list(SENT.iterdir())


def test_a_budget_is_never_passed(server):
    rows = ask(server, max_cost=13.0, **PRICED)
    first = uploads(server)[0].count(b"\n")
    assert first == 2
    spent = sum(row["tokens"][1] for row in rows)
    assert len(rows) >= 2
    assert spent <= 14  # the server may count one token more than it may make
    files.remove(Path(".potstill"))
    with pytest.raises(InputError, match="budget does not pay the first"):
        ask(server, max_cost=5.0, **PRICED)


def costs(tokens):
    """Return an injection: each answer is of so many tokens."""
    choice = {"message": {"content": "x"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": tokens}
    return lambda fields: (200, {"choices": [choice], "usage": usage})


def test_what_answers_cost_less_than_feared_is_spent(server):
    server.inject = costs(1)
    assert len(ask(server, count=30, max_cost=13.0, **PRICED)) == 8
    assert [content.count(b"\n") for content in uploads(server)] == [2, 1, 1, 1, 1, 1, 1]


def test_no_batch_is_sent_for_the_last_tenth_of_a_budget(server):
    server.inject = costs(5)
    assert len(ask(server, count=30, max_cost=61.0, **PRICED)) == 11
    assert [content.count(b"\n") for content in uploads(server)] == [10, 1]


def test_a_budget_counts_what_an_earlier_run_has_sent(server, monkeypatch):
    server.inject = costs(6)
    leave_one_open(server, monkeypatch)
    assert len(ask(server, count=7, max_cost=35.0, **PRICED)) == 5
    assert server.count_of("POST", "files") == 1


def leave_one_open(server, monkeypatch):
    """End a run whose batch of five is still open long after its time."""
    server.held.set()
    with monkeypatch.context() as patch:
        patch.setattr(batch_api, "_LONGEST_WINDOW_S", -batch_api._GRACE_S)
        with pytest.raises(InputError, match="has not ended in its time: run again to look again"):
            ask(server)
    server.held.clear()


def test_a_batch_of_an_earlier_run_is_found_by_what_it_asks(server, monkeypatch):
    leave_one_open(server, monkeypatch)
    assert len(ask(server, count=7)) == 7  # two more, of a batch of their own
    assert sorted(content.count(b"\n") for content in uploads(server)) == [2, 5]
    assert len(server.asked) == 7


def test_fewer_are_wanted_than_a_batch_has_and_the_rest_is_there_later(server, monkeypatch):
    leave_one_open(server, monkeypatch)
    assert len(ask(server, count=2)) == 2
    assert len(ask(server, count=5)) == 5
    assert server.count_of("POST", "files") == 1


def test_a_batch_that_the_server_forgot_is_not_paid_again_unasked(server, monkeypatch):
    server.faults = {("GET", "content"): [404]}
    with pytest.raises(InputError, match=r"has no answers any more: .* delete \.potstill"):
        ask(server)
    server.batches.clear()
    with pytest.raises(InputError, match="is not known there"):
        ask(server)
    assert server.count_of("POST", "files") == 1
    files.remove(SENT)
    assert len(ask(server)) == 5


def test_a_budget_is_one_for_all_that_a_back_end_is_asked(server):
    backend = Batched(at(server, **PRICED, max_cost=38.0), **HOW)
    kept = Kept(Path(".potstill/answers"))
    assert len(sampling.sample(prompts(5), backend, kept)) == 5  # 25 at least
    others = [
        sampling.Prompt(f"q{n}", [{"role": "user", "content": f"Tell {n}."}]) for n in range(5)
    ]
    assert len(sampling.more(others, backend, kept)) <= 2
    assert len(server.asked) <= 7
