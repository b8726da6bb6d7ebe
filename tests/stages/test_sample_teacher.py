"""Sampling: here, at an endpoint, and after a crash."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from potstill import files
from potstill.errors import InputError
from potstill.sampling import sampling

from stages.sample_teacher import Params, main

SETTINGS = {
    "backend": "local",
    "model": None,
    "max_rows": 5,
    "max_tokens": 6,
    "temperature": 0.0,
    "batch_rows": 2,
    "threads": 2,
    "seed": 0,
}


@pytest.fixture
def prompts(tmp_path):
    folder = tmp_path / "prompts"
    folder.mkdir()
    rows = [{"id": f"t{n}", "task": f"Do {n}." * (n + 1), "language": "python"} for n in range(7)]
    files.write_jsonl(folder / "train.jsonl", rows)
    return folder


def sample(tiny_llama, prompts, out, scratch, **changes):
    scratch.mkdir(exist_ok=True)
    metrics = main(
        Params(**(SETTINGS | changes)),
        teacher=tiny_llama,
        prompts=prompts,
        out=out,
        scratch=scratch,
    )
    return metrics, list(files.read_jsonl(out, ["id", "text", "finish"]))


def test_the_teacher_answers_here_the_same_each_time(tiny_llama, prompts, tmp_path):
    metrics, rows = sample(tiny_llama, prompts, tmp_path / "a", tmp_path / "s1")
    assert metrics["answers"] == len(rows) == 5
    assert all(row["finish"] in ("stop", "length") for row in rows)
    assert sample(tiny_llama, prompts, tmp_path / "b", tmp_path / "s2")[1] == rows


def test_sampling_with_a_temperature_repeats_by_its_seed(tiny_llama, prompts, tmp_path):
    def draw(name, seed):
        return sample(
            tiny_llama, prompts, tmp_path / name, tmp_path / f"s{name}", temperature=1.5, seed=seed
        )[1]

    first = {row["id"]: row["text"] for row in draw("a", 0)}
    assert {row["id"]: row["text"] for row in draw("b", 0)} == first


def test_batching_does_not_change_an_answer(tiny_llama, prompts, tmp_path):
    alone = sample(tiny_llama, prompts, tmp_path / "a", tmp_path / "s1", batch_rows=1)[1]
    together = sample(tiny_llama, prompts, tmp_path / "b", tmp_path / "s2", batch_rows=5)[1]
    assert [row["text"] for row in alone] == [row["text"] for row in together]


def test_finished_batches_are_not_asked_again(tmp_path):
    rows = [{"id": f"r{n}", "messages": [{"role": "user", "content": "x" * n}]} for n in range(5)]
    asked = []

    def ask(batch, fail_at=None):
        if fail_at is not None and len(asked) == fail_at:
            raise RuntimeError("crash")
        asked.append([row["id"] for row in batch])
        return [{"text": row["id"], "finish": "stop"} for row in batch]

    with pytest.raises(RuntimeError):
        sampling.sample(rows, lambda b: ask(b, 2), batch_rows=2, scratch=tmp_path)
    answers = sampling.sample(rows, ask, batch_rows=2, scratch=tmp_path)
    assert [row["text"] for row in answers] == [row["id"] for row in rows]
    assert sorted(i for batch in asked for i in batch) == sorted(row["id"] for row in rows)


class Server(BaseHTTPRequestHandler):
    status = 200

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = {
            "choices": [
                {
                    "message": {"content": body["messages"][-1]["content"][:20]},
                    "finish_reason": "stop",
                }
            ]
        }
        data = json.dumps(answer).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_an_endpoint_is_asked_in_the_chat_protocol(tiny_llama, prompts, tmp_path, url):
    _, rows = sample(tiny_llama, prompts, tmp_path / "a", tmp_path / "s", backend=url, model="m")
    assert all(row["text"].startswith("Write Python code") for row in rows)


def test_an_endpoint_that_fails_is_named(tiny_llama, prompts, tmp_path, url, monkeypatch):
    monkeypatch.setattr(Server, "status", 503)
    with pytest.raises(InputError, match="did not answer as an OpenAI-compatible server"):
        sample(tiny_llama, prompts, tmp_path / "a", tmp_path / "s", backend=url, model="m")
