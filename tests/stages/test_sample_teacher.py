"""Sampling: here, at a real server that is slow, refuses and dies, and after a crash."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest
import torch
from potstill import files, splits
from potstill.errors import InputError
from potstill.sampling import endpoint, sampling
from potstill.sampling.kept import Kept
from pydantic import ValidationError

from stages.sample_teacher import Params, main
from tests.serving import Replies, running

SETTINGS = {
    "teachers": [{"levels": [0, 1, 2]}],
    "backend": "transformers",
    "round": None,
    "max_rows": 5,
    "mined": {"max_functions": 0, "back_translate": False},
    "samples": 1,
    "max_tokens": 6,
    "temperature": 0.0,
    "max_length_share": 1.0,
    "batch_rows": 2,
    "threads": 2,
    "seed": 0,
}


@pytest.fixture
def prompts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "prompts"
    folder.mkdir()
    rows = [
        {"id": f"t{n}", "task": f"Do {n}." * (n + 1), "language": "python", "level": n % 3}
        for n in range(7)
    ]
    rows.append({"id": "hard", "task": "Prove it.", "language": "python", "level": 3})
    files.write_jsonl(folder / "train.jsonl", rows)
    files.write_jsonl(folder / "functions.jsonl", [])
    return folder


def sample(teacher, prompts, endpoint=None, **changes):
    out, models = prompts.parent / "out.jsonl", prompts.parent / "models"
    changes |= {"teachers": [{"endpoint": endpoint, "levels": [0, 1, 2]}]} if endpoint else {}
    params = Params(**(SETTINGS | changes))
    where = {"models": models, "prompts": prompts, "functions": prompts}
    where["rounds"] = prompts.parent
    metrics = main(params, teacher=teacher, **where, out=out)
    return metrics, list(files.read_jsonl(out, ["id", "text", "finish"]))


def forget(prompts):
    files.remove(prompts.parent / ".potstill")


def test_a_round_decides_which_tasks_are_asked(tiny_llama, prompts):
    heavy = {"weights": {"t3": 1e6, "t5": 1e6, "hard": 1e9}}
    files.write_json(prompts.parent / "round.json", heavy)
    _, rows = sample(tiny_llama, prompts, round="round.json", max_rows=2)
    assert {row["id"] for row in rows} == {"t3", "t5"}  # "hard" is for no teacher
    with pytest.raises(InputError, match=r"other\.json is missing"):
        sample(tiny_llama, prompts, round="other.json")


@pytest.mark.parametrize("backend", ["transformers", "llama_cpp"])
def test_the_teacher_answers_here_the_same_each_time(tiny_llama, prompts, backend):
    metrics, rows = sample(tiny_llama, prompts, backend=backend)
    assert metrics["answers"] == len(rows) == 5
    assert metrics["answer_tokens"] == sum(row["tokens"][1] for row in rows) <= 30
    assert all(row["finish"] in ("stop", "length") for row in rows)
    forget(prompts)
    assert sample(tiny_llama, prompts, backend=backend)[1] == rows


@pytest.mark.parametrize("backend", ["transformers", "llama_cpp"])
def test_sampling_with_a_temperature_repeats_by_its_seed(tiny_llama, prompts, backend):
    how = {"temperature": 1.5, "samples": 3, "backend": backend}
    _, rows = sample(tiny_llama, prompts, **how)
    assert len(rows) == 15
    assert [row["sample"] for row in rows] == [0] * 5 + [1] * 5 + [2] * 5
    assert len({row["text"] for row in rows}) > 10
    forget(prompts)
    assert sample(tiny_llama, prompts, **how)[1] == rows
    assert sample(tiny_llama, prompts, seed=1, **how)[1] != rows


@pytest.mark.parametrize("backend", ["transformers", "llama_cpp"])
def test_functions_are_asked_for_in_its_own_words_too(tiny_llama, prompts, backend):
    group = next(name for name in map(str, range(99)) if splits.split(name) == "train")
    one = {"id": "m", "name": "f", "arguments": "x", "code": "def f(x):\n    return x", "level": 0}
    one |= {"language": "python", "group": group, "task": "Write a function f(x). Same."}
    files.write_jsonl(prompts / "functions.jsonl", [one])
    how = {"mined": {"max_functions": 1, "back_translate": True}, "backend": backend}
    how |= {"temperature": 1.0, "max_tokens": 12}
    metrics, rows = sample(tiny_llama, prompts, **how)
    own = [row for row in rows if row["id"] == "m"]
    assert 1 <= len(own) <= 2  # a tiny model's words may be cut
    assert metrics.get("requests_written", 0) == len(own) - 1
    assert sum(value for key, value in metrics.items() if key.startswith("requests_")) == 1
    forget(prompts)
    assert sample(tiny_llama, prompts, **how) == (metrics, rows)


@pytest.mark.parametrize("how", [{}, {"temperature": 1.5, "samples": 2}])
def test_batching_does_not_change_an_answer(tiny_llama, prompts, how):
    alone = sample(tiny_llama, prompts, batch_rows=1, **how)[1]
    forget(prompts)
    assert sample(tiny_llama, prompts, batch_rows=4, **how)[1] == alone


def test_draws_follow_the_softmax():
    from potstill.sampling.generate import _Drawn

    scores_BV = torch.tensor([[0.0, 1.0, 2.0, -1.0]]).expand(20_000, 4)
    ids_B = _Drawn(2.0, [f"{n:x}" for n in range(20_000)])(None, scores_BV).argmax(-1)
    found = ids_B.bincount(minlength=4) / len(ids_B)
    assert torch.allclose(found, (scores_BV[0] / 2).softmax(-1), atol=0.015)


def test_too_many_cut_answers_end_the_stage(tiny_llama, prompts):
    with pytest.raises(InputError, match=r"cut at sample_teacher\.max_tokens"):
        sample(tiny_llama, prompts, max_tokens=1, max_length_share=0.1)


def test_levels_and_languages_say_which_tasks_a_teacher_answers(tiny_llama, prompts):
    _, rows = sample(tiny_llama, prompts, teachers=[{"levels": [0, 2]}], max_rows=99)
    assert {row["id"] for row in rows} == {"t0", "t3", "t6", "t2", "t5"}
    with pytest.raises(InputError, match="widen languages or levels"):
        sample(tiny_llama, prompts, teachers=[{"languages": ["javascript"]}])


def test_several_teachers_share_the_answers_and_each_row_says_whose_it_is(tiny_llama, prompts):
    (prompts.parent / "models").mkdir()
    (prompts.parent / "models/other").symlink_to(tiny_llama)
    how = {"samples": 30, "temperature": 1.0, "max_tokens": 1, "max_rows": 9}
    asked = [{"levels": [0, 1]}, {"model": "other", "weight": 3.0, "levels": [0, 2, 3]}]
    metrics, rows = sample(tiny_llama, prompts, teachers=asked, **how)
    mine = tiny_llama.name
    whose = {name: [r for r in rows if r["teacher"] == name] for name in (mine, "other")}
    assert {r["id"] for r in whose[mine]} == {"t0", "t3", "t6", "t1", "t4"}
    assert {r["id"] for r in whose["other"]} == {"t0", "t3", "t6", "t2", "t5", "hard"}
    shared = [r["teacher"] for r in rows if r["id"] in {"t0", "t3", "t6"}]
    assert 0.6 < shared.count("other") / len(shared) < 0.9
    assert metrics["answers_other"] + metrics[f"answers_{mine}"] == len(rows) == 240
    _, fewer = sample(tiny_llama, prompts, teachers=asked, **how | {"samples": 10})
    assert all(row in rows for row in fewer)


def test_settings_that_make_no_sense(tiny_llama, prompts):
    with pytest.raises(ValueError, match="samples is 2 at temperature 0, where all are equal"):
        sample(tiny_llama, prompts, samples=2)
    for wrong in (
        {"max_rows": 0},
        {"teachers": []},
        {"teachers": [{"weight": 0}]},
        {"teachers": [{"model": "m", "endpoint": {"url": "x", "model": "m"}}]},
        {"teachers": [{"endpoint": {"url": "x"}}]},
        {"teachers": [{"endpoint": {"url": "x", "model": "m", "max_cost": 1.0}}]},
        {"teachers": [{"endpoint": {"url": "x", "model": "m", "concurrency": 0}}]},
    ):
        with pytest.raises(ValidationError):
            Params(**(SETTINGS | wrong))


class Echo:
    """Answers with the id, and fails at a place."""

    identity = "echo"

    def __init__(self, fail_at=None):
        self.fail_at, self.asked = fail_at, []

    def estimate(self, prompts):
        return f"{len(prompts)}"

    def ask(self, prompts, done):
        for place, prompt in enumerate(prompts):
            if place == self.fail_at:
                raise InputError("crash")
            self.asked.append(prompt.id)
            done(place, sampling.Answer(prompt.id, "stop", (1, 1)))


def asks(count):
    return [sampling.Prompt(f"r{n}", [{"role": "user", "content": f"{n}"}]) for n in range(count)]


def test_what_was_answered_is_not_asked_again(tmp_path):
    with pytest.raises(InputError):
        sampling.sample(asks(6), Echo(fail_at=2), Kept(tmp_path))
    (path,) = tmp_path.glob("*.jsonl")
    with path.open("ab") as file:
        file.write(b'{"key": "cut sho')
    second = Echo()
    rows = sampling.sample(asks(6), second, Kept(tmp_path))
    assert [row["text"] for row in rows] == [f"r{n}" for n in range(6)]
    assert second.asked == ["r2", "r3", "r4", "r5"]
    third = Echo(fail_at=0)
    assert sampling.sample(asks(6), third, Kept(tmp_path)) == rows
    other = Echo()
    other.identity = "other"
    sampling.sample(asks(6), other, Kept(tmp_path))
    assert len(other.asked) == 6


JSON = {"Content-Type": "application/json"}


class Proxy(Replies, BaseHTTPRequestHandler):
    """Passes requests on, after the faults of a plan: a status, or seconds of silence."""

    target, plan, seen = "", [], []
    lock = threading.Lock()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.lock:
            fault = self.plan.pop(0) if self.plan else None
            self.seen.append((fault, json.loads(body)["messages"][-1]["content"]))
        if isinstance(fault, float):
            time.sleep(fault)
            self.close_connection = True
            return
        if fault == "dead":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if fault is not None:
            self.send({}, fault, Retry_After="0.05")
            return
        reply = httpx.post(
            f"{self.target}/chat/completions", content=body, headers=JSON, timeout=60
        )
        self.send(reply.content, reply.status_code)


@pytest.fixture
def proxy(llama_server):
    handler = type("Handler", (Proxy,), {"target": llama_server, "plan": [], "seen": []})
    with running(handler) as url:
        handler.url = f"{url}/v1"
        yield handler


def at(proxy, **changes):
    return {"url": proxy.url, "model": "tiny", "concurrency": 2, "timeout_s": 20.0, **changes}


@pytest.mark.slow
def test_a_real_server_answers_and_charges(tiny_llama, prompts, proxy):
    priced = at(proxy, price_input=1e6, price_output=2e6)
    metrics, rows = sample(tiny_llama, prompts, endpoint=priced)
    assert len(rows) == 5
    # That server counts a token more where an answer is cut within a character.
    assert all(0 < row["tokens"][1] <= 7 and row["tokens"][0] > 5 for row in rows)
    assert metrics["cost"] == metrics["prompt_tokens"] + 2 * metrics["answer_tokens"]
    before = len(proxy.seen)
    assert sample(tiny_llama, prompts, endpoint=priced)[1] == rows
    assert len(proxy.seen) == before == 5


@pytest.mark.slow
def test_storms_hangs_and_a_death_lose_nothing(tiny_llama, prompts, proxy):
    proxy.plan += [429, 429, 503, "dead", 429, 2.5, 500, 429]
    _, rows = sample(tiny_llama, prompts, endpoint=at(proxy, timeout_s=1.0, concurrency=3))
    assert len(rows) == 5
    assert len(proxy.seen) == 13
    forget(prompts)
    assert sample(tiny_llama, prompts, endpoint=at(proxy))[1] == rows


@pytest.mark.slow
def test_a_dead_endpoint_is_named_and_what_came_before_is_kept(
    tiny_llama, prompts, proxy, monkeypatch
):
    monkeypatch.setattr(endpoint, "RETRIES", 1)
    proxy.plan += [None, None, None] + [503] * 20
    with pytest.raises(InputError, match=r"does not answer .* came before are kept"):
        sample(tiny_llama, prompts, endpoint=at(proxy, concurrency=1))
    proxy.plan.clear()
    answered = len(proxy.seen)
    _, rows = sample(tiny_llama, prompts, endpoint=at(proxy))
    assert len(rows) == 5
    assert len(proxy.seen) - answered == 2


def test_no_server_and_a_wrong_key_are_named(tiny_llama, prompts, monkeypatch):
    monkeypatch.setattr(endpoint, "RETRIES", 0)
    with pytest.raises(InputError, match="APIConnectionError"):
        sample(tiny_llama, prompts, endpoint={"url": "http://127.0.0.1:9/v1", "model": "m"})


@pytest.mark.slow
def test_a_refused_prompt_is_counted_and_the_rest_goes_on(tiny_llama, prompts, proxy):
    proxy.plan += [400]
    metrics, rows = sample(tiny_llama, prompts, endpoint=at(proxy, concurrency=1))
    assert metrics["refused"] == 1
    assert [row["finish"] == "refused" for row in rows].count(True) == 1


@pytest.mark.slow
def test_a_budget_ends_the_asking(tiny_llama, prompts, proxy):
    priced = at(proxy, price_input=0.0, price_output=1e6, max_cost=13.0, concurrency=1)
    metrics, rows = sample(tiny_llama, prompts, endpoint=priced)
    assert metrics["cost"] <= 14  # the server may count one token more than it may make
    assert 1 <= len(rows) < 5
    assert metrics["not_asked"] == 5 - len(rows)
    forget(prompts)
    with pytest.raises(InputError, match="budget does not pay the first"):
        sample(tiny_llama, prompts, endpoint=priced | {"max_cost": 1.0})


@pytest.mark.slow
def test_a_rate_is_kept(tiny_llama, prompts, proxy):
    started = time.monotonic()
    sample(tiny_llama, prompts, endpoint=at(proxy, requests_per_minute=300.0, concurrency=5))
    assert time.monotonic() - started >= 4 * 60 / 300


@pytest.mark.slow
def test_after_a_kill_only_what_is_missing_is_asked(tiny_llama, prompts, proxy):
    proxy.plan += [None, None] + [30.0] * 3
    asked = [{"endpoint": at(proxy, concurrency=1), "levels": [0, 1, 2]}]
    settings = json.dumps(SETTINGS | {"teachers": asked})
    code = (
        "import json; from pathlib import Path; from stages.sample_teacher import Params, main\n"
        f"main(Params(**json.loads({settings!r})), teacher=Path({str(tiny_llama)!r}), "
        f"models=Path('models'), prompts=Path({str(prompts)!r}), "
        f"functions=Path({str(prompts)!r}), rounds=Path(), out=Path('out.jsonl'))"
    )
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    child = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path})
    deadline = time.monotonic() + 60
    while len(proxy.seen) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    proxy.plan.clear()
    answered = [prompt for fault, prompt in proxy.seen if fault is None]
    assert len(answered) == 2
    _, rows = sample(tiny_llama, prompts, endpoint=at(proxy))
    assert len(rows) == 5
    again = [prompt for fault, prompt in proxy.seen if fault is None]
    assert len(again) == len(set(again)) == 5
