"""What models behind endpoints refuse and leave out, one request at a time and in batches.

The server forwards to a real model; the replies of newer and of reasoning models stand for its own.
Storms, deaths and budgets of one request at a time: tests/stages/test_sample_teacher.py.
"""

import time
from pathlib import Path

import pytest
from potstill.errors import InputError
from potstill.sampling import sampling
from potstill.sampling.batch import Batched
from potstill.sampling.endpoint import Endpoint, Remote
from potstill.sampling.kept import Kept
from pydantic import ValidationError

pytestmark = pytest.mark.slow
HOW = {"max_tokens": 6, "temperature": 0.0, "seed": 3}
KEPT = Path(".potstill/answers")


@pytest.fixture(params=[Remote, Batched])
def ask(request, server):
    def run(count=3, **changes):
        how = Endpoint(url=server.url, model="tiny", concurrency=1, **changes)
        asks = [
            sampling.Prompt(f"p{n}", [{"role": "user", "content": f"Do {n}."}], sample=n)
            for n in range(count)
        ]
        return sampling.sample(asks, request.param(how, **HOW), Kept(KEPT))

    return run


def reply(message, finish="stop", **more):
    usage = {"prompt_tokens": 5, "completion_tokens": 6}
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"object": "chat.completion", "choices": [choice], "usage": usage, **more}


def refuses(**values):
    """Return the refusals of a model that takes some fields not at all, or one value of them."""

    def inject(fields):
        for name, allowed in values.items():
            if name in fields and fields[name] != allowed:
                kind = "parameter" if allowed is None else "value"
                error = {
                    "message": f"Unsupported {kind}: '{name}' is not supported with this model.",
                    "type": "invalid_request_error",
                    "param": name,
                    "code": f"unsupported_{kind}",
                }
                return 400, {"error": error}
        return None

    return inject


def test_a_model_that_refuses_a_setting_says_which_to_change(server, ask):
    server.inject = refuses(max_tokens=None, temperature=1, seed=None)
    told = r"tiny at .* refuses {} \(.*Unsupported .*\): set {} of its endpoint"
    changes = {}
    for name, to_do, change in (
        ("max_tokens", "limit: max_completion_tokens", {"limit": "max_completion_tokens"}),
        ("temperature", "body: {temperature: null}", {"body": {"temperature": None}}),
        ("seed", "body: {seed: null}", {"body": {"temperature": None, "seed": None}}),
    ):
        with pytest.raises(InputError, match=told.format(name, to_do)) as error:
            ask(**changes)
        assert "\n" not in str(error.value)
        changes |= change
    # llama.cpp's server does not know the new name of the limit, so it answers at length.
    server.asked.clear()
    server.inject = lambda fields: (
        refuses(max_tokens=None, temperature=1, seed=None)(fields)
        or (
            200,
            reply({"content": "x"}),
        )
    )
    assert [row["finish"] for row in ask(**changes)] == ["stop"] * 3
    assert {frozenset(fields) for fields in server.asked} == {
        frozenset(["model", "messages", "max_completion_tokens"])
    }


def test_more_fields_are_sent_and_make_other_answers(server, ask):
    ask()
    assert [fields["seed"] for fields in sorted(server.asked, key=str)] == [3, 4, 5]
    more = {"reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": False}}
    ask(body=more)
    assert len(server.asked) == 6
    assert all(more.items() <= fields.items() for fields in server.asked[3:])
    for wrong in ("max_tokens", "messages", "stream"):
        with pytest.raises(ValidationError, match=f"body may not hold {wrong}"):
            Endpoint(url="u", model="m", body={wrong: 1})


def test_refusals_alone_end_the_run_and_are_asked_again(server, ask):
    detail = {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]}
    server.inject = lambda fields: (422, detail) if "seed" in fields else None
    with pytest.raises(InputError, match=r"none of 3 answers has a word.*Extra inputs"):
        ask()
    server.inject = None
    assert all(row["finish"] != "refused" for row in ask())


def test_refusals_that_an_older_version_kept_are_asked_again(server):
    backend = Remote(Endpoint(url=server.url, model="tiny"), **HOW)
    asks = [sampling.Prompt("p", [{"role": "user", "content": "Do."}])]
    key = Kept.key(backend.identity, asks[0].messages, 0)
    Kept(KEPT).put(key, {"text": "no", "finish": "refused", "tokens": [0, 0]})
    assert sampling.sample(asks, backend, Kept(KEPT))[0]["finish"] != "refused"


def test_an_endpoint_without_a_word_is_given_up_soon(server):
    server.inject = lambda fields: (400, {"error": {"message": "no"}})
    asks = [sampling.Prompt(f"{n}", [{"role": "user", "content": f"{n}"}]) for n in range(99)]
    one = Endpoint(url=server.url, model="tiny")
    with pytest.raises(InputError, match=r"first 32 answers of .* are refused or empty"):
        sampling.sample(asks, Remote(one, **HOW), Kept(KEPT))
    assert len(server.asked) <= 32 + one.concurrency


def test_what_runs_beside_an_error_is_kept(server):
    key = {"error": {"message": "wrong key"}}
    server.inject = lambda fields: (401, key) if fields["seed"] == 3 else time.sleep(0.3)
    asks = [
        sampling.Prompt(f"{n}", [{"role": "user", "content": "Do."}], sample=n) for n in range(4)
    ]
    backend = Remote(Endpoint(url=server.url, model="tiny", concurrency=4), **HOW)
    started = time.monotonic()
    with pytest.raises(InputError, match="wrong key"):
        sampling.sample(asks, backend, Kept(KEPT))
    assert time.monotonic() - started < 20
    server.inject = None
    assert len(sampling.sample(asks, backend, Kept(KEPT))) == 4
    assert len(server.asked) == 5


def test_after_an_error_no_waiting_request_starts(server):
    server.inject = lambda fields: (401, {"error": {"message": "wrong key"}})
    asks = [sampling.Prompt("p", [{"role": "user", "content": "Do."}], sample=n) for n in range(4)]
    slow = Endpoint(url=server.url, model="tiny", concurrency=4, requests_per_minute=1.0)
    with pytest.raises(InputError, match="wrong key"):
        Remote(slow, **HOW).ask(asks, lambda place, answer: None)
    assert len(server.asked) == 1


def test_thoughts_are_no_answer(server, ask):
    given = [
        (reply({"content": None, "reasoning_content": "Hm."}, "length"), ""),
        (reply({"content": "", "reasoning": "Hm."}), ""),
        (reply({"content": "<think>\n```python\nx\n```\n</think>\n\nyes"}), "yes"),
        (reply({"content": "Hm.</think>no"}), "no"),
        (reply({"content": "\n<think>Hm."}, "length"), ""),
    ]
    server.inject = lambda fields: (200, given[fields["seed"] - 3][0])
    rows = ask(5)
    assert [row["text"] for row in rows] == [text for _, text in given]
    assert [row["finish"] for row in rows] == ["length", "stop", "stop", "stop", "length"]
    assert all(row["tokens"] == [5, 6] for row in rows)


def test_nothing_but_thoughts_ends_the_run_with_what_to_raise(server, ask):
    thought = reply({"content": None, "reasoning_content": "Hm."}, "length")
    server.inject = lambda fields: (200, thought)
    with pytest.raises(InputError, match="cut at max_tokens: a reasoning model thinks within it"):
        ask()
    with pytest.raises(InputError, match="thinks within it"):
        ask()
    assert len(server.asked) == 3  # they were paid, so they are kept


def test_filters_and_refusals_are_counted_as_refused(server, ask):
    given = [
        reply({"content": "It is"}, "content_filter"),
        reply({"content": None, "refusal": "I may not."}),
        reply({"content": "yes"}, "eos_token"),
    ]
    server.inject = lambda fields: (200, given[fields["seed"] - 3])
    rows = ask()
    assert [row["finish"] for row in rows] == ["refused", "refused", "stop"]
    assert rows[1]["text"] == "I may not."
    assert ask() == rows
    assert len(server.asked) == 3


def test_a_budget_ends_where_the_server_counts_no_tokens(server, ask):
    server.inject = lambda fields: (200, reply({"content": "x"}, usage=None))
    priced = {"price_input": 0.0, "price_output": 1e6}
    assert len(ask(9, max_cost=13.0, **priced)) == 2
    assert len(server.asked) == 2


def test_a_reply_that_is_no_completion_is_named(server, ask):
    server.inject = lambda fields: (200, {"error": {"message": "no provider", "code": 502}})
    with pytest.raises(InputError, match="sends no chat completion"):
        ask()


def test_each_endpoint_may_have_a_key_of_its_own(server, ask, monkeypatch):
    monkeypatch.setenv("OTHER_KEY", "secret")
    ask(key="OTHER_KEY")
    assert server.keys == {"Bearer secret"}
