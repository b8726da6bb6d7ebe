"""When a returned value is the expected one, and which replies are none."""

# Programs are kept on one line.

import json

import pytest
from potstill.sandbox.grading import CallsGrader, equal


@pytest.mark.parametrize(
    ("actual", "expected", "verdict"),
    [
        (1, 1, True),
        (True, 1, False),
        (1, True, False),
        (True, True, True),
        (0, False, False),
        (1.0, 1, True),
        (1, 1.0000001, True),
        (1, 1.001, False),
        (0.1 + 0.2, 0.3, True),
        (1e12, 1e12 + 1, True),
        (10**20, 10**20 + 1, False),
        (10**400, 1.5, False),
        (float("nan"), float("nan"), False),
        (float("inf"), float("inf"), True),
        ((1, (2,)), [1, [2]], True),
        ([1], [1, 2], False),
        ({2: "a", None: 2, True: 3}, {"2": "a", "null": 2, "true": 3}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ("1", 1, False),
        (None, 0, False),
        (None, None, True),
        ({1, 2}, [1, 2], False),
        (iter([1]), [1], False),
        (b"a", "a", False),
        ("", [], False),
    ],
)
def test_equality_is_json_equality_with_tolerance(actual, expected, verdict):
    assert equal(actual, expected) is verdict


def grader():
    tests = [{"args": [1], "expected": 2}, {"args": [2], "expected": 3}]
    made = CallsGrader("python", "code", tests, "f")
    job = json.loads(made.job())
    assert "expected" not in made.job().decode()
    return made, job["nonce"]


def reply(nonce, seq, **answer):
    return json.dumps({"nonce": nonce, "seq": seq, "replies": [answer]}).encode()


def test_replies_are_counted_in_order():
    made, nonce = grader()
    assert b'"expected"' not in made.call() + made.call()
    assert made.call() is None
    made.take(reply(nonce, 0, value=2))
    assert not made.is_done
    made.take(reply(nonce, 1, error=["ValueError", "no"]))
    assert (made.is_done, made.passed) == (True, 1)


@pytest.mark.parametrize(
    "forge",
    [
        lambda nonce: reply("guess", 0, value=2),
        lambda nonce: reply(nonce, 1, value=3),
        lambda nonce: reply(nonce, -1, value=3),
        lambda nonce: reply(nonce, 0),
        lambda nonce: reply(nonce, 0, error="text"),
        lambda nonce: reply(nonce, 0, value={"code": 1}),
        lambda nonce: json.dumps(
            {"nonce": nonce, "seq": 0, "replies": [{"value": 2}] * 2}
        ).encode(),
        lambda nonce: json.dumps({"nonce": nonce, "seq": 0, "replies": "ab"}).encode(),
        lambda nonce: b'{"passed": true}',
        lambda nonce: b"passed",
        lambda nonce: b"[" * 10**5,
    ],
)
def test_what_is_no_reply_is_refused(forge):
    made, nonce = grader()
    made.call()
    with pytest.raises(ValueError):
        made.take(forge(nonce))
    assert made.passed == 0


def test_reply_before_its_call_is_refused():
    made, nonce = grader()
    with pytest.raises(ValueError):
        made.take(reply(nonce, 0, value=2))
