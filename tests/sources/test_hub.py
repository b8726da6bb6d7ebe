"""The hub through its real client and a small server on this machine.

The server answers the two requests that the client of huggingface_hub makes: what a revision
holds, and one file. What the real hub adds (redirects to a CDN, gates, rate limits) is not here.
"""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from potstill import files
from potstill.models import checkpoint

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FETCH = """
import pathlib, sys
from potstill.errors import InputError
from potstill.sources import fetch
try:
    print(fetch.fetch("hub:org/model", sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])))
except InputError as error:
    print(error)
    sys.exit(1)
"""


class Hub(BaseHTTPRequestHandler):
    """Serve `server.folder` as org/model; keep the names of the files that were asked for."""

    def do_GET(self):
        self.answer(body=True)

    def do_HEAD(self):
        self.answer(body=False)

    def answer(self, body):
        name = self.path.rpartition("/")[2]
        path = self.server.folder / name
        if self.path.startswith(f"/api/models/org/model/tree/{COMMIT}?"):
            found = sorted(self.server.folder.iterdir())
            tree = [{"type": "file", "path": p.name, "size": p.stat().st_size, "oid": p.name}
                    for p in found]  # fmt: skip
            self.send(json.dumps(tree).encode(), body)
        elif self.path == f"/org/model/resolve/{COMMIT}/{name}" and path.is_file():
            if body:
                self.server.sent.append(name)
            self.send(path.read_bytes(), body, ETag=f'"{files.sha256_file(path)}"')
        else:
            self.send(b"{}", body, status=404)

    def send(self, data, body, status=200, **headers):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def hub(tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.folder, server.sent = tmp_path / "model", []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()


def fetch(hub, tmp_path, revision=COMMIT, dtype="float32"):
    """The client reads its settings when it is imported, hence a process of its own."""
    environment = {**os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
                   "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1",
                   "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}  # fmt: skip
    return subprocess.run(
        [sys.executable, "-c", FETCH, revision, dtype, str(tmp_path / "out")],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_sharded_model_comes_whole_and_nothing_else_with_it(hub, tiny_llama, tmp_path):
    state, config = checkpoint.read_state(tiny_llama), checkpoint.read_config(tiny_llama)
    checkpoint.write(hub.folder, state, config, beside=tiny_llama, shard_bytes=40_000)
    (hub.folder / "consolidated.safetensors").write_bytes(b"another layout of the same weights")
    (hub.folder / "pytorch_model.bin").write_bytes(b"pickled")
    done = fetch(hub, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    names = {path.name for path in checkpoint.weight_files(hub.folder)}
    assert set(hub.sent) >= names
    assert not {"consolidated.safetensors", "pytorch_model.bin"} & set(hub.sent)
    origin = files.read_json(tmp_path / "out/origin.json")
    assert (origin["revision"], set(origin["sha256"])) == (COMMIT, names)
    assert checkpoint.shapes(tmp_path / "out") == checkpoint.shapes(tiny_llama)
    assert not any(path.is_symlink() for path in (tmp_path / "out").iterdir())


def test_the_dtype_holds_for_the_hub(hub, tiny_qwen2, tmp_path):
    config = checkpoint.read_config(tiny_qwen2)
    checkpoint.write(hub.folder, checkpoint.read_state(tiny_qwen2), config, beside=tiny_qwen2)
    done = fetch(hub, tmp_path, dtype="bfloat16")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {kind for kind, _ in checkpoint.headers(tmp_path / "out").values()} == {"BF16"}


def test_another_family_is_refused_before_its_weights_travel(hub, tiny_llama, tmp_path):
    config = checkpoint.read_config(tiny_llama) | {"model_type": "gemma2"}
    checkpoint.write(hub.folder, checkpoint.read_state(tiny_llama), config, beside=tiny_llama)
    done = fetch(hub, tmp_path)
    assert done.returncode == 1
    assert done.stdout.startswith("hub:org/model: model_type is 'gemma2'; supported: llama")
    assert set(hub.sent) == {"config.json"}
    assert not (tmp_path / "out").exists()


def test_a_revision_that_is_not_there_is_one_line(hub, tiny_llama, tmp_path):
    hub.folder.mkdir()
    done = fetch(hub, tmp_path, revision="f" * 40)
    assert done.returncode == 1
    assert "could not be fetched (" in done.stdout
    assert done.stdout.count("\n") == 1
